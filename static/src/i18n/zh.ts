import type { en } from './en.ts'

export const zh: Record<keyof typeof en, string> = {
  // 框架
  skip: '跳到正文', transcripts: '转写', models: '模型', system: '系统', settings: '设置', main_nav: '页面',
  other_language: 'English', connecting: '正在连接…', live: '实时', reconnecting: '正在重新连接…', polling: '轮询中', offline: '离线', ago: '{t}前有消息',
  link_polling: '实时更新暂时无法送达，页面改为每 5 秒查询一次，恢复后会自动切回。',
  link_offline: '服务没有响应。当前显示的是最后已知状态，页面会继续尝试连接。',
  updated: '服务已更新。', reload: '重新加载', missing: '没有这个页面。', home: '返回转写列表', dismiss: '关闭', undo: '撤销',
  announce_many: '{n} 个录音的状态有变化', theme_now: '外观：{name}', auto: '跟随系统', light: '浅色', dark: '深色',
  no_model_yet: '尚无模型', loading: '正在加载…', close: '关闭',

  // 接收录音
  drop: '把音频或视频拖到这里', drop_more: '上传和转写会自动开始。', release: '松开即可开始转写', choose: '选择文件', choose_folder: '选择文件夹',
  link: '或输入录音的链接', link_go: '转写链接', link_taken: '来自链接：{name}', fetching: '正在下载录音',
  fact_private: '数据不离开本机', fact_formats: '支持任何音频、视频格式', fact_keys: '按 ? 查看快捷键',
  model: '模型', language_of: '语言', detect: '自动检测', will_fetch: '需先下载', best_model: '已安装的最佳模型', more_options: '更多选项', task: '结果', transcribe: '原文', translate: '译成英文',
  preset: '细致程度', preset_default: '按服务设置', fast: '快速', balanced: '均衡', accurate: '精确', prompt: '可能出现的人名和术语', prompt_hint: '例如：王小明、Kubernetes、量子纠缠',
  uploading: '正在上传', waiting: '等待上传', upload_failed: '上传失败', upload_paused: '上传已暂停', known: '已存在', known_text: '列表中已有同名且大小相同的录音。',
  open_it: '打开', once_more: '重新转写', try_again: '重试', upload_cut: '连接中断，上传会自动继续。',
  unfinished: '有一个上传停在 {percent}%：再次选择或拖入“{name}”即可从该处继续。', discard: '放弃',

  // 列表
  empty: '这里还没有内容', empty_text: '在上方放入录音后，转写结果会立即出现在这里。',
  search: '搜索名称和文字', none: '没有与“{q}”匹配的结果。', none_filter: '“{filter}”中没有内容。', clear: '清除', more: '显示更早的',
  all: '全部', active: '进行中', done: '完成', undone: '失败或取消', filter: '显示',
  queue: '队列 {n} 个', queue_audio: '音频 {t}', queue_left: '约剩 {t}', estimating: '正在估算时间', pause_all: '全部暂停', resume_all: '全部继续', clear_done: '清除已完成',
  pending: '等待中', processing: '处理中', paused: '已暂停', completed: '已完成', failed: '失败', cancelled: '已取消', nth: '排队第 {n} 位',
  ahead: '最优先', downloading_model: '正在下载模型', loading_model: '正在加载模型', decoding: '正在读取录音', transcribing: '正在转写', finalizing: '正在收尾',
  once_only: '仅此一次', pause: '暂停', resume: '继续', cancel: '取消', retry: '重试', retry_with: '用 {name} 重试', front: '优先处理', sooner: '上移', later: '下移', delete: '删除', rename: '重命名', save: '保存', name: '名称', report: '复制报告', reported: '报告已复制',
  select: '选择 {name}', selected: '已选 {n} 项', export_zip: '导出', progress: '{name} 的进度', act_on: '{verb}：{name}',
  deleted: '已删除：{name}', deleted_many: '已删除 {n} 个录音',
  left: '剩余 {t}', speed: '{x} 倍速', gaps: '缺失 {n} 处', added: '添加于 {t}', finished: '完成于 {t}', what_to_do: '处理办法：', details: '详细信息',
  span_h: '{h} 小时 {m} 分', span_m: '{m} 分钟', span_s: '{s} 秒',

  // 转写页
  back: '全部转写', gone: '没有这份转写，可能已被删除。', no_text: '还没有文字，识别出的内容会逐行出现在这里。', silent: '这段录音中没有发现语音。',
  export: '导出', export_as: '导出为', copy: '复制文字', copied: '已复制', find: '在文中搜索', hits: '第 {n} 处，共 {all} 处', previous: '上一处', next: '下一处',
  fmt_txt: '纯文本', fmt_srt: '字幕', fmt_vtt: '网页字幕', fmt_docx: 'Word 文档', fmt_md: 'Markdown 文档', fmt_json: '全部数据，供程序使用', fmt_tsv: '表格', fmt_lrc: '歌词', fmt_ass: '带样式的字幕',
  player: '播放器', play: '播放', stop: '暂停', position: '播放位置', rate: '速度', back_5: '后退 5 秒', on_5: '前进 5 秒', follow_text: '跟随', loop: '循环本行', to_playing: '跳到正在播放',
  no_media: '无法在此播放录音：录音已不再保留，或浏览器不支持其格式。文字不受影响。',
  gap: '{start} 至 {end} 缺失', seek: '从 {t} 播放', text_label: '转写文字', info: '信息', history: '处理过程', duration: '时长', size: '文件大小', made: '添加时间', took: '转写用时', key_sheet: '快捷键',
  key_play: '播放或暂停', key_skip: '后退、前进 5 秒', key_fine: '后退、前进 1 秒', key_line: '上一行、下一行', key_rate: '减速、加速、正常速度', key_follow: '跳到正在播放处', key_replay: '重放本行', key_loop: '循环本行', key_export: '导出', key_search: '在文中搜索', key_help: '显示此列表',
  space: '空格', captions: '字幕', video: '视频', picture: '画面大小',

  // 模型、系统、设置
  models_text: '已安装的模型可立即使用，无需联网。任务指定了其他模型时，会先下载再自动继续。', no_models: '尚未安装模型。请在下方下载，或直接拖入录音，任务会说明缺少什么。',
  absent: '未安装', downloading: '正在下载', installed: '已安装', loaded: '使用中', broken: '已损坏', recommended: '本机推荐', default_model: '默认', builtin: '内置',
  multilingual: '99 种语言', english_only: '仅英语', to_fetch: '需下载 {n}', on_disk: '占用磁盘 {n}', memory: '内存', memory_card: '显存', memory_free: '空闲 {n}，共 {all}', throughput: '处理速度', needs_memory: '需要内存 {n}',
  fit_gpu: '可在 GPU 上运行', fit_cpu: '本机约 {x} 倍速', fit_slow: '本机较慢：约 {x} 倍速', fit_too_big: '超出本机内存',
  download: '下载', unload: '释放内存', remove: '删除', transfer: '{n}，共 {all}', from_host: '来自 {host}', more_models: '全部模型', here_models: '本机模型',
  add_model: '其他模型', repo: '仓库中的名称', repo_hint: '所有者/名称，须为 faster-whisper 格式', hub: '模型仓库', endpoints: '地址，按顺序尝试', proxy: '代理', token_set: '令牌', there: '已设置', not_there: '无',
  test: '测试连接', testing: '正在测试…', works: '正常', offline_set: '设置不允许联网（models.offline）。', try_with: '用其他设置测试', endpoint_try: '地址（镜像）', proxy_try: '代理', token_try: '令牌', nothing_kept: '仅用于测试，不会保存。', removed_model: '已删除：{name}', free: '磁盘可用 {n}',
  logout: '退出登录', logout_text: '您已登录此服务。',
  version: '版本', up: '启动时间', device: '设备', batch_size: '批大小', cpus: '处理器核心', disk: '可用磁盘空间', subscribers: '打开的事件流', actors: '进程', generation: '已启动 {n} 次', healthy: '没有问题。',
  actor_speech: '语音识别', actor_media: '读取录音', actor_download: '下载', actor_connection: '连接测试', idle: '未运行', starting: '启动中', ready: '就绪', stopped: '已停止', waiting_actor: '等待重启', model_loaded: '已加载模型',
  here_settings: '当前浏览器', theme: '外观', language_name: '界面语言', keys_setting: '转写页的单键快捷键', follow_setting: '播放时文字跟随滚动',
  server_settings: '服务', settings_text: '地址、访问权限和目录只能在 config.toml 中设置。由环境变量或命令行固定的项目不能在此更改。',
  saved_now: '已保存，立即生效。', saved_restart: '已保存，重启服务后生效。', reset: '恢复', source_default: '默认值', source_file: '来自 config.toml', source_stored: '在此设置',
  held_environment: '由环境变量固定：移除 {name} 并重启服务后才能在此更改', held_line: '由命令行固定：不带该参数重启服务后才能在此更改', effect_restart: '更改在重启后生效',
  auto_choice: '自动', unit_s: '秒', unit_days: '天', level_debug: '全部', level_info: '信息', level_warning: '警告', level_error: '错误',
  log: '日志', log_show: '显示最近的日志', log_level: '最低级别', log_follow: '跟随', log_none: '还没有此级别的日志。', diagnostics: '下载诊断信息', diagnostics_text: '报告问题时可附上的压缩包：包含日志、设置和任务，不含密钥、名称和文字。',
  restarts: '重启记录', no_restarts: '没有进程需要重新启动。',
  make_default: '设为默认', default_set: '重启服务后，{name} 将成为默认模型。', use_these: '今后使用这些设置',
  import: '导入模型', import_text: '须为 faster-whisper 格式：上传压缩包，或指定服务所在机器上的文件夹（须在 config.toml 中允许）。', import_name: '名称', import_archive: '选择压缩包', import_path: '服务所在机器上的文件夹', importing: '正在导入…', imported: '已导入：{name}',
  unhearable: '缺失的部分无法重试：录音已不再保留。请重新上传后转写。',
  export_options: '选项', shape_columns: '字幕行宽', shape_lines: '每条字幕行数', shape_script: '汉字', script_kept: '按识别结果', simplified: '简体', traditional: '繁体', shape_times: '文档中显示时间', shape_word_times: '逐词时间（VTT）', shape_bom: '兼容旧版 Windows 播放器（BOM）',
}
