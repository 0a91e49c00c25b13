// Which files of a folder are recordings.
const EXTENSIONS =
  /\.(mp3|m4a|m4b|aac|wav|wave|flac|ogg|oga|opus|wma|amr|aif|aiff|caf|mka|mp4|m4v|mkv|mov|webm|avi|mpe?g|ts|m2ts|wmv|flv|3gp|3g2|mts|vob|gsm|au|ac3|eac3|dts|spx|mxf)$/i

/** Whether a file of a folder is uploaded. Files that are chosen one by one are always uploaded. */
export const looksLikeMedia = (file: { name: string; type: string }): boolean =>
  /^(audio|video)\//.test(file.type) || EXTENSIONS.test(file.name)
