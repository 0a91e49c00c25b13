// The page asks the browser for its address.
vi.stubGlobal('location', { pathname: '/t/abc-1', href: 'http://localhost/t/abc-1' })
vi.stubGlobal('addEventListener', () => undefined)
const { pageUrl, parsePath, PATHS, route, timeHash, timeOfHash, transcriptUrl } = await import(
  '../../static/src/router.ts'
)

it('knows the page of its own addresses, and of no others', () => {
  expect(route.value).toEqual({ page: 'transcript', id: 'abc-1' })
  for (const page of Object.keys(PATHS) as (keyof typeof PATHS)[]) expect(parsePath(pageUrl(page))).toEqual({ page })
  expect(parsePath(transcriptUrl('x_1'))).toEqual({ page: 'transcript', id: 'x_1' })
  expect(['', '/static/dist/index.html'].map((path) => parsePath(path).page)).toEqual(['transcripts', 'transcripts'])
  expect(['/t/', '/t/a/b', '/model', '/models/', '/nope'].map((path) => parsePath(path).page)).toEqual(
    Array(5).fill('missing'),
  )
})

it('reads the times in links', () => {
  expect(['#t=31:20', '#t=1:14:02.5', '#t=80', '#t=x', '', '#t='].map(timeOfHash)).toEqual([
    1880,
    4442.5,
    80,
    null,
    null,
    null,
  ])
  expect(timeOfHash(timeHash(1880.7))).toBe(1880)
  expect(transcriptUrl('x', 61.2)).toBe('/t/x#t=61')
  expect(transcriptUrl('x', 61.2, 'a b&c')).toBe('/t/x?q=a%20b%26c#t=61')
})
