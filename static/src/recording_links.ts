// Links: recordings that the service fetches itself.
import { request, type Answer } from './api.ts'
import { jobOptions } from './preferences.ts'
import type { Job } from './types.ts'

export const isLink = (text: string): boolean => /^https?:\/\/\S+$/.test(text)

/** Sites whose addresses lead to pages with a player, never to a recording itself. */
const PAGE_HOSTS =
  /(^|\.)(youtube\.com|youtu\.be|bilibili\.com|b23\.tv|vimeo\.com|tiktok\.com|douyin\.com|x\.com|twitter\.com|facebook\.com|instagram\.com|soundcloud\.com|spotify\.com|podcasts\.apple\.com|xiaoyuzhoufm\.com|ximalaya\.com|twitch\.tv|weixin\.qq\.com|v\.qq\.com|youku\.com|iqiyi\.com)$/
const PAGE_FILE = /\.(html?|xhtml|php|aspx?|jsp)$/i

/** Whether a link certainly leads to a web page. The service finds out about all others. */
export function isWebPage(link: string): boolean {
  try {
    const { hostname, pathname } = new URL(link)
    return PAGE_HOSTS.test(hostname) || PAGE_FILE.test(pathname)
  } catch {
    return false
  }
}

/** Have the service fetch and transcribe a recording. */
export const submitLink = (url: string): Promise<Answer<Job>> =>
  request<Job>('POST', '/api/jobs', { url, ...jobOptions() })
