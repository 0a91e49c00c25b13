"""What tests and benchmarks share. No part of the installed package.

- Services: `service` in this process, `process` and `program` in one of its own, `serve` with other actors, `killable`,
  `hub_service` with models from a hub, `nginx` before one, `browser` with the page of one.
- Actors: `scripted_actors` instead of a model; the real ones with little memory (`starved_actor`), on a broken GPU
  (`gpu_card`), alone (`media_process`).
- Servers: `fake_hub` has models, `recording_server` has recordings.
- Recordings: `sounds`, `prompts`, `media_files`, `playable` ones for a browser, `damage`.
- Models: `weights` without a meaning, `widened_model`.
- `chaos`: a storm over a whole service. `small_disk` can be filled.
- `event_stream`, `scoring`, `strategies` for Hypothesis, `repository` for paths.
"""
