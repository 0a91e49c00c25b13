// What tus-js-client asks a package for: the URL of the browser.
export default URL
