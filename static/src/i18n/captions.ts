// What the captions view says while it has nothing to show. All languages are here: it is loaded with that view only.
import { language, type Language } from './index.ts'

const en = {
  title: 'Captions',
  waiting: 'Captions appear here when somebody speaks.',
  away: 'The server does not answer. Captions go on when it does.',
  missing: 'There is no recording at this address.',
}
export type CaptionsKey = keyof typeof en

const zh: Record<CaptionsKey, string> = {
  title: '字幕',
  waiting: '有人说话时，字幕会出现在这里。',
  away: '服务器没有应答，恢复之后字幕会继续。',
  missing: '此地址没有录音。',
}
export const captionsTexts: Record<Language, Record<CaptionsKey, string>> = { en, zh }

export const cap = (key: CaptionsKey): string => captionsTexts[language.value][key]
