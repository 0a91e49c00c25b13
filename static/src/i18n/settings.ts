// The names of the settings of the service that may be changed while it runs, in groups as people look for them: loaded
// with the page of settings. All languages are here.
import { computed } from 'vue'
import { language, type Language } from './index.ts'

const en = {
  page: {
    title: 'Page',
    labels: { 'page.title': 'Name of this site' },
  },
  recognition: {
    title: 'Recognition',
    labels: {
      'speech.model': 'Model',
      'speech.preset': 'Default quality',
      'speech.script': 'Chinese characters by default',
      'speech.speakers': 'Tell speakers apart by default',
      'speech.align_edits': 'Find the times of edited words',
      'speech.device': 'Device',
      'speech.compute_type': 'Compute type',
      'speech.cpu_fallback': 'Use the CPU if the GPU fails',
      'speech.preload': 'Load model at startup',
      'speech.unload_after_s': 'Unload model when idle for',
      'media.max_duration_s': 'Longest recording accepted',
    },
  },
  models: {
    title: 'Models',
    labels: {
      'models.endpoints': 'Servers, tried in order',
      'models.proxy': 'Proxy',
      'models.token': 'Token',
      'models.offline': 'Work offline',
      'models.connect_timeout_s': 'Connection timeout',
      'models.read_timeout_s': 'Read timeout',
    },
  },
  storage: {
    title: 'Storage',
    labels: {
      'storage.keep_media_days': 'Delete recordings after',
      'storage.keep_jobs_days': 'Delete transcripts after',
      'storage.keep_voices_days': 'Delete voice data after',
      'storage.max_media_bytes': 'Storage limit for recordings',
      'storage.listening_copy': 'Keep playable copies',
      'storage.min_free_bytes': 'Minimum free disk space',
      'storage.undo_s': 'Deleted items can be restored for',
      'storage.keep_uploads_s': 'Keep interrupted uploads for',
      'server.max_upload_bytes': 'Largest upload',
    },
  },
  captions: {
    title: 'Subtitles',
    labels: {
      'captions.line_columns': 'Characters per line',
      'captions.cjk_line_columns': 'Characters per line, Chinese/Japanese/Korean',
      'captions.lines': 'Lines per subtitle',
      'captions.chars_per_s': 'Reading speed',
      'captions.cjk_chars_per_s': 'Reading speed, Chinese/Japanese/Korean',
      'captions.min_s': 'Minimum duration',
      'captions.max_s': 'Maximum duration',
      'captions.gap_s': 'Minimum gap between subtitles',
      'captions.pause_s': 'New subtitle after a pause of',
      'captions.linger_s': 'Hold after the last word',
    },
  },
  advanced: {
    title: 'Advanced',
    labels: {
      'speech.batch_size': 'Batch size',
      'speech.slots': 'Parallel batches',
      'speech.threads': 'CPU threads',
      'live.max_sessions': 'Live recordings at once',
      'live.max_hours': 'Longest live recording (hours)',
      'live.silence_end_s': 'End a live recording without sound after',
      'live.cadence_s': 'Time between two drafts of live text',
      'live.share': 'Share of a core for drafts of live text',
      'media.workers': 'Files decoded at once',
      'server.max_uploads': 'Uploads at once',
      'storage.keep_changes': 'Event log length',
      'storage.keep_changes_s': 'Event log kept for at least',
      'api.reuse_results': 'Reuse transcripts of identical recordings (API)',
      'log.level': 'Log level',
    },
  },
}
type Groups = typeof en
type Texts = { [G in keyof Groups]: { title: string; labels: Record<keyof Groups[G]['labels'], string> } }

const zh: Texts = {
  page: {
    title: '页面',
    labels: { 'page.title': '站点名称' },
  },
  recognition: {
    title: '识别',
    labels: {
      'speech.model': '模型',
      'speech.preset': '默认转写质量',
      'speech.script': '默认汉字',
      'speech.speakers': '默认区分发言人',
      'speech.align_edits': '查找已编辑词语的时间',
      'speech.device': '设备',
      'speech.compute_type': '计算精度',
      'speech.cpu_fallback': 'GPU 出错时改用 CPU',
      'speech.preload': '启动时加载模型',
      'speech.unload_after_s': '空闲多久后卸载模型',
      'media.max_duration_s': '可接受的最长录音',
    },
  },
  models: {
    title: '模型',
    labels: {
      'models.endpoints': '服务器（按顺序尝试）',
      'models.proxy': '代理',
      'models.token': '令牌',
      'models.offline': '离线模式',
      'models.connect_timeout_s': '连接超时',
      'models.read_timeout_s': '读取超时',
    },
  },
  storage: {
    title: '存储',
    labels: {
      'storage.keep_media_days': '多久后删除录音',
      'storage.keep_jobs_days': '多久后删除转写',
      'storage.keep_voices_days': '多久后删除声纹',
      'storage.max_media_bytes': '录音总容量上限',
      'storage.listening_copy': '保留可播放的副本',
      'storage.min_free_bytes': '最小剩余磁盘空间',
      'storage.undo_s': '删除后可恢复时间',
      'storage.keep_uploads_s': '中断的上传保留',
      'server.max_upload_bytes': '最大上传文件',
    },
  },
  captions: {
    title: '字幕',
    labels: {
      'captions.line_columns': '每行字符数',
      'captions.cjk_line_columns': '每行字数（中日韩）',
      'captions.lines': '每条字幕行数',
      'captions.chars_per_s': '阅读速度',
      'captions.cjk_chars_per_s': '阅读速度（中日韩）',
      'captions.min_s': '最短显示',
      'captions.max_s': '最长显示',
      'captions.gap_s': '字幕最小间隔',
      'captions.pause_s': '停顿超过此值另起一条',
      'captions.linger_s': '末词后停留',
    },
  },
  advanced: {
    title: '高级',
    labels: {
      'speech.batch_size': '批大小',
      'speech.slots': '并行批数',
      'speech.threads': 'CPU 线程数',
      'live.max_sessions': '同时进行的实时录音数',
      'live.max_hours': '实时录音最长时间（小时）',
      'live.silence_end_s': '多久没有声音后结束实时录音',
      'live.cadence_s': '实时文字草稿的间隔',
      'live.share': '实时文字草稿占用一个核心的份额',
      'media.workers': '同时解码文件数',
      'server.max_uploads': '同时上传数',
      'storage.keep_changes': '事件日志条数',
      'storage.keep_changes_s': '事件日志至少保留',
      'api.reuse_results': '相同录音复用已有转写（API）',
      'log.level': '日志级别',
    },
  },
}
export const settingTexts: Record<Language, Texts> = { en, zh }

/** The groups in the language in use. */
export const settingGroups = computed(() => settingTexts[language.value])
