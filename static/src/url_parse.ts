// Stands in for the package `url-parse` of tus-js-client: the browser's URL, which needs a complete base.
export default class extends URL {
  constructor(link: string, base = '') {
    super(link, new URL(base, location.href))
  }
}
