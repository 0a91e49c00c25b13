// The path of the service: '' at the top of its address, '/whisper' behind a proxy with that path. Known from the address of this script.

export const rootOf = (script: string): string => {
  const path = new URL(script, 'http://localhost').pathname
  const end = path.search(/\/(static\/dist\/)?assets\/[^/]+$/)
  return end < 0 ? '' : path.slice(0, end)
}

export const ROOT = rootOf(import.meta.url)
