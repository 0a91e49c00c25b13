// Everything that the page says in English. Other languages have the same keys: see `Translation`.
import type { ErrorText } from './translation.ts'

export const en = {
  name: 'English',
  tag: 'en',
  separator: '; ',

  messages: {
    // the frame
    skip: 'Skip to the content', transcripts: 'Transcripts', models: 'Models', system: 'System', settings: 'Settings', main_nav: 'Pages',
    connecting: 'Connecting…', live: 'Live', reconnecting: 'Reconnecting…', polling: 'Polling', offline: 'Offline', ago: 'last news {t} ago',
    connection_polling: 'Live updates do not get through; the page asks every 5 seconds instead and goes back by itself.',
    connection_offline: 'The service does not answer. What you see is the last known state; the page keeps trying.',
    updated: 'The service was updated.', reload: 'Reload', missing: 'There is no such page.', home: 'To the transcripts', dismiss: 'Dismiss', undo: 'Undo',
    announce_many: '{n} recordings changed their state', theme_now: 'Appearance: {name}', auto: 'System', light: 'Light', dark: 'Dark',
    no_model_yet: 'no model yet', loading: 'Loading…', close: 'Close',

    // taking recordings
    drop: 'Drop audio or video here', drop_more: 'Upload and transcription start by themselves.', release: 'Let go to transcribe', choose: 'Choose files', choose_folder: 'Choose a folder',
    link: 'Or the link to a recording', link_go: 'Transcribe the link', link_taken: 'From the link: {name}', fetching: 'Fetching',
    fact_private: 'Stays on this machine', fact_formats: 'Any audio or video format', fact_keys: 'Press ? for keys',
    model: 'Model', language_of: 'Language', detect: 'Detect', will_fetch: 'Fetched first', best_model: 'Best installed', more_options: 'More options', task: 'Result', transcribe: 'Text as spoken', translate: 'English translation',
    preset: 'Care', preset_default: 'As the service is set', fast: 'Fast', balanced: 'Balanced', accurate: 'Accurate', prompt: 'Names and spellings to expect', prompt_hint: 'For example: Dr. Nguyen, Kubernetes, 王小明',
    uploading: 'Uploading', waiting: 'Waiting to upload', upload_failed: 'Upload failed', upload_paused: 'Upload paused', known: 'Already here', known_text: 'A recording with this name and size is here already.',
    open_it: 'Open it', once_more: 'Transcribe again', try_again: 'Try again', upload_cut: 'Connection lost; the upload goes on by itself.',
    unfinished: 'An upload stopped at {percent} %: choose or drop {name} again to go on from there.', discard: 'Discard',

    // the list
    empty: 'Nothing here yet', empty_text: 'Transcripts appear here as soon as you drop a recording above.',
    search: 'Search names and texts', none: 'No match for “{q}”.', none_filter: 'Nothing under “{filter}”.', clear: 'Clear', more: 'Show older',
    all: 'All', active: 'Active', done: 'Done', undone: 'Failed or cancelled', filter: 'Show',
    queue: '{n} in the queue', queue_audio: '{t} of audio', queue_left: 'about {t} left', estimating: 'estimating the time', pause_all: 'Pause all', resume_all: 'Resume all', clear_done: 'Clear finished',
    pending: 'Waiting', processing: 'In work', paused: 'Paused', completed: 'Done', failed: 'Failed', cancelled: 'Cancelled', nth: 'number {n} in the queue',
    ahead: 'first in line', downloading_model: 'Getting the model', loading_model: 'Loading the model', decoding: 'Reading the recording', transcribing: 'Transcribing', finalizing: 'Finishing',
    once_only: 'once only', pause: 'Pause', resume: 'Resume', cancel: 'Cancel', retry: 'Retry', retry_with: 'Retry with {name}', front: 'Do next', sooner: 'Move up', later: 'Move down', delete: 'Delete', rename: 'Rename', save: 'Save', name: 'Name', report: 'Copy report', reported: 'Report copied',
    select: 'Select {name}', selected: '{n} selected', export_zip: 'Export', progress: 'Progress of {name}', act_on: '{verb}: {name}',
    deleted: 'Deleted: {name}', deleted_many: 'Deleted: {n} recordings',
    left: '{t} left', speed: '{x}× real time', gaps: '{n} missing', added: 'added {t}', finished: 'finished {t}', what_to_do: 'What to do:', details: 'Details',
    span_h: '{h} h {m} min', span_m: '{m} min', span_s: '{s} s',

    // a transcript
    back: 'All transcripts', gone: 'This transcript does not exist. It may have been deleted.', no_text: 'No text yet. Lines appear here as they are recognized.', silent: 'No speech was found in this recording.',
    export: 'Export', export_as: 'Export as', copy: 'Copy text', copied: 'Copied', find: 'Search in this text', hits: '{n} of {all}', previous: 'Previous', next: 'Next',
    fmt_txt: 'Plain text', fmt_srt: 'Subtitles', fmt_vtt: 'Subtitles for the web', fmt_docx: 'Word document', fmt_md: 'Markdown', fmt_json: 'Everything, for programs', fmt_tsv: 'Table', fmt_lrc: 'Lyrics', fmt_ass: 'Styled subtitles',
    player: 'Player', play: 'Play', stop: 'Pause', position: 'Position', rate: 'Speed', back_5: 'Back 5 seconds', on_5: 'Forward 5 seconds', follow_text: 'Follow', loop: 'Loop line', to_playing: 'Jump to playing',
    no_media: 'This recording cannot be played here: it is no longer kept, or the browser cannot play its format. The text is not affected.',
    gap: 'Missing from {start} to {end}', seek: 'Play from {t}', text_label: 'Transcript', info: 'Information', history: 'On the way', duration: 'Length', size: 'File size', made: 'Added', took: 'Transcribed in', key_sheet: 'Keys',
    key_play: 'Play or pause', key_skip: '5 seconds back, forward', key_fine: '1 second back, forward', key_line: 'Previous, next line', key_rate: 'Slower, faster, normal speed', key_follow: 'Jump to what plays', key_replay: 'Play this line again', key_loop: 'Repeat this line', key_export: 'Export', key_search: 'Search in this text', key_help: 'This list',
    space: 'Space', captions: 'Captions', video: 'Video', picture: 'Size of the picture',

    // models, system, settings
    models_text: 'A model that is here works at once and without a network. A job that names another one fetches it and then goes on by itself.', no_models: 'No model is installed. Fetch one below, or drop a recording: the job says what is missing.',
    absent: 'not installed', downloading: 'downloading', installed: 'installed', loaded: 'in use', broken: 'damaged', recommended: 'recommended here', default_model: 'default', builtin: 'built in',
    multilingual: '99 languages', english_only: 'English only', to_fetch: '{n} to fetch', on_disk: '{n} on disk', needs_memory: 'needs {n} of memory',
    fit_gpu: 'runs on the GPU', fit_cpu: 'about {x}× real time here', fit_slow: 'slow here: about {x}× real time', fit_too_big: 'too big for this machine',
    download: 'Download', unload: 'Free the memory', remove: 'Remove', transfer: '{n} of {all}', from_host: 'from {host}', more_models: 'All models', here_models: 'On this machine',
    add_model: 'Another model', repo: 'Name on the hub', repo_hint: 'owner/name, a conversion for faster-whisper', hub: 'Model hub', endpoints: 'Addresses, tried in order', proxy: 'Proxy', token_set: 'Token', there: 'set', not_there: 'none',
    test: 'Test the connection', testing: 'Testing…', works: 'works', offline_set: 'The network is not to be used (models.offline).', try_with: 'Try with other settings', endpoint_try: 'Address (mirror)', proxy_try: 'Proxy', token_try: 'Token', nothing_kept: 'For the test only; nothing of it is kept.', removed_model: 'Removed: {name}', free: '{n} free on the disk',
    logout: 'Log out', logout_text: 'You are logged in to this service.',
    version: 'Version', up: 'Running since', device: 'Device', batch_size: 'Batch size', cpus: 'Processor cores', disk: 'Free disk space', memory: 'Memory', memory_card: 'Memory of the GPU', memory_free: '{n} of {all} free', throughput: 'Throughput', subscribers: 'Open event streams', actors: 'Processes', generation: 'started {n} {n|time|times}', healthy: 'No problems.',
    actor_speech: 'Speech recognition', actor_media: 'Reading of recordings', actor_download: 'Downloads', actor_connection: 'Connection tests', idle: 'not running', starting: 'starting', ready: 'ready', stopped: 'stopped', waiting_actor: 'waiting to restart', model_loaded: 'Loaded model',
    here_settings: 'This browser', theme: 'Appearance', language_name: 'Language', keys_setting: 'Single-key shortcuts in a transcript', follow_setting: 'Follow the text while playing',
    server_settings: 'The service', settings_text: 'Addresses, access and folders are set in config.toml alone. A field that the environment or the command line holds cannot be changed here.',
    saved_now: 'Saved, and in force.', saved_restart: 'Saved. It takes effect when the service is started again.', reset: 'Take back', source_default: 'default', source_file: 'from config.toml', source_stored: 'set here',
    held_environment: 'Fixed by the environment: remove {name} there and start the service again to change it here', held_line: 'Fixed by the command line: start the service without it to change it here', effect_restart: 'a change takes effect after a restart',
    auto_choice: 'Automatic', unit_s: 'seconds', unit_days: 'days', level_debug: 'Everything', level_info: 'Information', level_warning: 'Warnings', level_error: 'Errors',
    log: 'Log', log_show: 'Show the last lines', log_level: 'At least', log_follow: 'Follow', log_none: 'Nothing of this weight yet.', diagnostics: 'Download diagnostics', diagnostics_text: 'A zip to send when you report a fault: log, settings and jobs, without secrets, names and texts.',
    restarts: 'Restarts', no_restarts: 'No process had to be started again.',
    make_default: 'Make default', default_set: '{name} is the default when the service is started again.', use_these: 'Use these from now on',
    import: 'Import a model', import_text: 'In the format of faster-whisper: as an archive, or in a folder on the machine of the service that config.toml allows.', import_name: 'Name', import_archive: 'Choose an archive', import_path: 'Folder on the machine of the service', importing: 'Importing…', imported: 'Imported: {name}',
    unhearable: 'What is missing cannot be tried again: the recording is no longer kept. Upload it again to have it transcribed.',
    export_options: 'Options', shape_columns: 'Width of a caption line', shape_lines: 'Lines of a caption', shape_script: 'Chinese characters', script_kept: 'As recognized', simplified: 'Simplified', traditional: 'Traditional', shape_times: 'Times in documents', shape_word_times: 'Times of words (VTT)', shape_bom: 'Mark for old Windows players (BOM)',
  },

  settings: {
    recognition: {
      title: 'Recognition',
      labels: {
        'speech.model': 'Model',
        'speech.preset': 'Care',
        'speech.device': 'Device',
        'speech.compute_type': 'Number format',
        'speech.batch_size': 'Chunks in a batch (0: by the device)',
        'speech.slots': 'Batches at a time (0: by the device)',
        'speech.threads': 'Processor cores (0: all)',
        'speech.cpu_fallback': 'Go on with the CPU when the GPU cannot',
        'speech.preload': 'Load the model at the start',
        'speech.unload_after_s': 'Free its memory when idle for (0: never)',
        'media.workers': 'Recordings read at a time',
        'media.max_duration_s': 'Longest recording',
      },
    },
    models: {
      title: 'Where models come from',
      labels: {
        'models.endpoints': 'Hubs and mirrors, tried in order',
        'models.proxy': 'Proxy',
        'models.token': 'Token',
        'models.offline': 'Do not use the network',
        'models.connect_timeout_s': 'Time to connect',
        'models.read_timeout_s': 'Time without a byte',
      },
    },
    storage: {
      title: 'Storage and uploads',
      labels: {
        'storage.keep_media_days': 'Keep recordings (0: for ever)',
        'storage.keep_jobs_days': 'Keep transcripts (0: for ever)',
        'storage.max_media_bytes': 'Recordings together (0: no limit)',
        'storage.min_free_bytes': 'Leave free on the disk',
        'storage.undo_s': 'Undo of a deletion',
        'storage.keep_uploads_s': 'Keep broken uploads',
        'storage.keep_changes': 'Events kept for clients',
        'server.max_upload_bytes': 'Largest upload',
        'server.max_uploads': 'Uploads at a time',
        'api.reuse_results': 'Answer a known recording from its transcript',
      },
    },
    captions: {
      title: 'Captions',
      labels: {
        'captions.line_columns': 'Width of a line',
        'captions.cjk_line_columns': 'Width of a Chinese, Japanese or Korean line',
        'captions.lines': 'Lines of a caption',
        'captions.chars_per_s': 'Characters a second',
        'captions.cjk_chars_per_s': 'Chinese, Japanese or Korean characters a second',
        'captions.min_s': 'Shown at least',
        'captions.max_s': 'Shown at most',
        'captions.gap_s': 'Dark between two',
        'captions.pause_s': 'A silence that ends one',
        'captions.linger_s': 'Stays after its last word',
      },
    },
    log: {
      title: 'Log',
      labels: {
        'log.level': 'Weight of the lines that are kept',
      },
    },
  },

  languageNames: { ba: 'Bashkir', bo: 'Tibetan' } as Record<string, string>,

  pageErrors: {
    unreachable: ['The service does not answer.', 'Check that it is running and try again.'],
    upload_broken: ['The upload broke off before it was complete.', 'Send it again.'],
  } satisfies Record<string, ErrorText>,

  service: null, // the service itself speaks English
}
