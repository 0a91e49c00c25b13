export const en = {
  // the frame
  skip: 'Skip to the content', transcripts: 'Transcripts', models: 'Models', system: 'System', settings: 'Settings', main_nav: 'Pages',
  other_language: '中文', connecting: 'Connecting…', live: 'Live', reconnecting: 'Reconnecting…', polling: 'Polling', offline: 'Offline', ago: 'last news {t} ago',
  link_polling: 'Live updates do not get through; the page asks every 5 seconds instead and goes back by itself.',
  link_offline: 'The service does not answer. What you see is the last known state; the page keeps trying.',
  updated: 'The service was updated.', reload: 'Reload', missing: 'There is no such page.', home: 'To the transcripts', dismiss: 'Dismiss', undo: 'Undo',
  announce_many: '{n} recordings changed their state', theme_now: 'Appearance: {name}', auto: 'System', light: 'Light', dark: 'Dark',
  no_model_yet: 'no model yet', loading: 'Loading…', close: 'Close', yes: 'Yes', no: 'No',

  // taking recordings
  drop: 'Drop audio or video here', drop_more: 'Upload and transcription start by themselves.', release: 'Let go to transcribe', choose: 'Choose files', choose_folder: 'Choose a folder',
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
  once_only: 'once only', pause: 'Pause', resume: 'Resume', cancel: 'Cancel', retry: 'Retry', front: 'Do next', delete: 'Delete', rename: 'Rename', save: 'Save', name: 'Name', report: 'Copy report', reported: 'Report copied',
  select: 'Select {name}', selected: '{n} selected', select_all: 'Select all', export_zip: 'Export', progress: 'Progress of {name}', act_on: '{verb}: {name}',
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
  keys_off: 'Keys are switched off in the settings.', space: 'Space', captions: 'Captions', video: 'Video',

  // models, system, settings
  models_text: 'A model that is here works at once and without a network. A job that names another one fetches it and then goes on by itself.', no_models: 'No model is installed. Fetch one below, or drop a recording: the job says what is missing.',
  absent: 'not installed', downloading: 'downloading', installed: 'installed', loaded: 'in use', broken: 'damaged', recommended: 'recommended here', default_model: 'default', builtin: 'built in',
  multilingual: '99 languages', english_only: 'English only', to_fetch: '{n} to fetch', on_disk: '{n} on disk', needs_memory: 'needs {n} of memory',
  fit_gpu: 'runs on the GPU', fit_cpu: 'about {x}× real time here', fit_slow: 'slow here: about {x}× real time', fit_too_big: 'too big for this machine',
  download: 'Download', unload: 'Free the memory', remove: 'Remove', transfer: '{n} of {all}', from_host: 'from {host}', more_models: 'All models', here_models: 'On this machine',
  add_model: 'Another model', repo: 'Name on the hub', repo_hint: 'owner/name, a conversion for faster-whisper', hub: 'Model hub', endpoints: 'Addresses, tried in order', proxy: 'Proxy', token_set: 'Token', there: 'set', not_there: 'none',
  test: 'Test the connection', testing: 'Testing…', works: 'works', offline_set: 'The network is not to be used (models.offline).', try_with: 'Try with other settings', endpoint_try: 'Address (mirror)', proxy_try: 'Proxy', token_try: 'Token', nothing_kept: 'For the test only; nothing of it is kept.', removed_model: 'Removed: {name}', free: '{n} free on the disk',
  logout: 'Log out', logout_text: 'You are logged in to this service.', 
  version: 'Version', up: 'Running since', device: 'Device', compute: 'Number format', batch_size: 'Batch size', cpus: 'Processor cores', disk: 'Free disk space', subscribers: 'Open event streams', actors: 'Processes', generation: 'started {n} times', healthy: 'No problems.',
  actor_speech: 'Speech recognition', actor_media: 'Reading of recordings', actor_download: 'Downloads', actor_connection: 'Connection tests', idle: 'not running', starting: 'starting', ready: 'ready', stopped: 'stopped', waiting_actor: 'waiting to restart', model_loaded: 'Loaded model',
  here_settings: 'This browser', theme: 'Appearance', language_name: 'Language', keys_setting: 'Single-key shortcuts in a transcript', follow_setting: 'Follow the text while playing',
  server_settings: 'The service', settings_missing: 'This version of the service does not show its settings here. They are in config.toml.', source: 'from {source}',
}
