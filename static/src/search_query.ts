// What people write into the search. Pure; the service has the same rule (storage/search_terms.py).

/** What is looked for in names and texts: a query without `speaker:NAME`, which the service takes for who speaks. */
export const phraseOf = (query: string): string =>
  query.replace(/(?<!\S)(?:speaker|发言人)[:：](?:"[^"]*"|\S*)/giu, ' ').trim()
