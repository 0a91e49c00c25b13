vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
vi.stubGlobal('navigator', { languages: ['en'] })
const { isWebPage } = await import('../../static/src/recording_links.ts')

it('knows web pages that are no recordings', () => {
  for (const link of [
    'https://www.youtube.com/watch?v=x',
    'https://youtu.be/x',
    'https://www.bilibili.com/video/BV1',
    'https://example.org/talk.html',
  ])
    expect([link, isWebPage(link)]).toEqual([link, true])
  for (const link of ['https://example.org/talk.mp3', 'https://notyoutube.com/x', 'https://example.org/listen', 'x'])
    expect([link, isWebPage(link)]).toEqual([link, false])
})
