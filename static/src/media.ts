// The recordings that the service reads, by the ending of their names. A test compares the list with what its decoder has.
export const EXTENSIONS =
  // sound
  (
    'mp3 mp2 m2a mpa m4a m4b m4r aac ac3 eac3 ec3 dts dtshd thd mlp wav wave w64 rf64 bwf flac ogg oga opus spx ' +
    'wma asf aif aiff aifc caf au snd mka ape wv tta tak shn mpc ra oma aa3 dsf dff nist sph voc aptx sbc ' +
    // telephones and dictation
    'amr awb 3ga qcp gsm dss sln slin sln8 sln12 sln16 sln24 sln32 sln44 sln48 sln96 sln192 ' +
    'ulaw ul mulaw mu pcmu pcm_mulaw alaw al pcma pcm_alaw g722 g723 g723_1 g729 ' +
    // films
    'mp4 m4v mkv mov webm avi mpg mpeg mpe ts m2ts mts m2t vob wmv flv f4v 3gp 3g2 mxf ogv ogm dv rm rmvb wtv gxf nut'
  ).split(' ')
const KNOWN = new Set(EXTENSIONS)

/** What a file input offers: the kinds that browsers know, and every ending. */
export const ACCEPT = ['audio/*', 'video/*', ...EXTENSIONS.map((extension) => `.${extension}`)].join(',')

/** The ending of a recording, in lower case: `wav`. '': it has none that is known. */
export function endingOf(name: string): string {
  const dot = name.lastIndexOf('.')
  const ending = name.slice(dot + 1).toLowerCase()
  return dot > 0 && KNOWN.has(ending) ? ending : ''
}

/** The name of a recording as people read it: without the ending of its file. `Talk 1.2` and `Dr.Smith` stay whole. */
export function titleOf(name: string): string {
  const ending = endingOf(name)
  return ending ? name.slice(0, -ending.length - 1) : name
}

/** The name of a file with a new title. Its ending stays: it says how sound without a header is read. */
export function withTitle(name: string, title: string): string {
  const ending = endingOf(name)
  return ending && endingOf(title) !== ending ? `${title}${name.slice(-ending.length - 1)}` : title
}

/** Whether a file of a folder is uploaded. Files that are chosen one by one are always uploaded. */
export const looksLikeMedia = (file: { name: string; type: string }): boolean =>
  /^(audio|video)\//.test(file.type) || endingOf(file.name) !== ''
