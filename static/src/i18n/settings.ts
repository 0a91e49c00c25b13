// The settings of the service that may be changed while it runs, in groups as people look for them. Units follow from the key:
// `_s` are seconds, `_days` days, `_bytes` bytes.
export type Words = readonly [en: string, zh: string]
export interface Group { name: Words; settings: Record<string, Words> }

export const GROUPS: readonly Group[] = [
  { name: ['Recognition', '识别'], settings: {
    'speech.model': ['Model', '模型'], 'speech.preset': ['Care', '细致程度'], 'speech.device': ['Device', '设备'], 'speech.compute_type': ['Number format', '数值格式'],
    'speech.batch_size': ['Chunks in a batch (0: by the device)', '每批分块数（0：按设备）'], 'speech.slots': ['Batches at a time (0: by the device)', '同时处理的批数（0：按设备）'], 'speech.threads': ['Processor cores (0: all)', '处理器核心数（0：全部）'],
    'speech.cpu_fallback': ['Go on with the CPU when the GPU cannot', 'GPU 无法使用时改用 CPU'], 'speech.preload': ['Load the model at the start', '启动时加载模型'], 'speech.unload_after_s': ['Free its memory when idle for (0: never)', '空闲多久后释放模型内存（0：从不）'],
    'media.workers': ['Recordings read at a time', '同时读取的录音数'], 'media.max_duration_s': ['Longest recording', '录音最长时长'],
  } },
  { name: ['Where models come from', '模型来源'], settings: {
    'models.endpoints': ['Hubs and mirrors, tried in order', '仓库和镜像，按顺序尝试'], 'models.proxy': ['Proxy', '代理'], 'models.token': ['Token', '令牌'], 'models.offline': ['Do not use the network', '不使用网络'],
    'models.connect_timeout_s': ['Time to connect', '连接超时'], 'models.read_timeout_s': ['Time without a byte', '无数据超时'],
  } },
  { name: ['Storage and uploads', '存储与上传'], settings: {
    'storage.keep_media_days': ['Keep recordings (0: for ever)', '录音保留时间（0：永久）'], 'storage.keep_jobs_days': ['Keep transcripts (0: for ever)', '转写保留时间（0：永久）'], 'storage.max_media_bytes': ['Recordings together (0: no limit)', '录音总量上限（0：不限）'],
    'storage.min_free_bytes': ['Leave free on the disk', '磁盘至少留空'], 'storage.undo_s': ['Undo of a deletion', '删除后可撤销'], 'storage.keep_uploads_s': ['Keep broken uploads', '中断的上传保留'], 'storage.keep_changes': ['Events kept for clients', '为客户端保留的事件数'],
    'server.max_upload_bytes': ['Largest upload', '上传大小上限'], 'server.max_uploads': ['Uploads at a time', '同时上传数'], 'api.reuse_results': ['Answer a known recording from its transcript', '相同录音直接使用已有转写'],
  } },
  { name: ['Captions', '字幕'], settings: {
    'captions.line_columns': ['Width of a line', '每行宽度'], 'captions.cjk_line_columns': ['Width of a Chinese, Japanese or Korean line', '中日韩文字每行宽度'], 'captions.lines': ['Lines of a caption', '每条字幕行数'],
    'captions.chars_per_s': ['Characters a second', '每秒字符数'], 'captions.cjk_chars_per_s': ['Chinese, Japanese or Korean characters a second', '每秒中日韩字数'], 'captions.min_s': ['Shown at least', '最短显示'], 'captions.max_s': ['Shown at most', '最长显示'],
    'captions.gap_s': ['Dark between two', '两条之间的间隔'], 'captions.pause_s': ['A silence that ends one', '断开字幕的停顿'], 'captions.linger_s': ['Stays after its last word', '末字后停留'],
  } },
  { name: ['Log', '日志'], settings: { 'log.level': ['Weight of the lines that are kept', '记录的级别'] } },
]

/** What some can be. Others are free. */
export const CHOICES: Record<string, readonly string[]> = {
  'speech.preset': ['fast', 'balanced', 'accurate'], 'speech.device': ['auto', 'cpu', 'cuda'], 'log.level': ['debug', 'info', 'warning', 'error'],
  'speech.compute_type': ['auto', 'int8', 'float32', 'float16', 'int8_float16'],
}
