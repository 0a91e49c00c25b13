// What tus-js-client asks a package for: the URL of the browser, which wants a base that is whole.
export default class extends URL {
  constructor(link: string, base = '') {
    super(link, new URL(base, location.href))
  }
}
