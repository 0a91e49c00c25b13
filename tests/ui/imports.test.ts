import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const SOURCES = fileURLToPath(new URL('../../static/src', import.meta.url))
const IMPORT = /(?:from|import|import\()\s*'(\.[^'?]+)/g

/** The files that each file imports, types and files that are fetched later included. */
function imports(): Map<string, string[]> {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((file) => /\.(ts|vue)$/.test(file))
  const from = (file: string) =>
    [...readFileSync(join(SOURCES, file), 'utf8').matchAll(IMPORT)]
      .map(([, path]) => relative(SOURCES, join(SOURCES, dirname(file), path!)))
      .filter((path) => files.includes(path))
  return new Map(files.map((file) => [file, from(file)]))
}

/** The first circle that is found, as the files on the way. */
function circle(graph: Map<string, string[]>): string[] {
  const done = new Set<string>()
  const visit = (file: string, way: string[]): string[] => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file]
    if (done.has(file)) return []
    for (const next of graph.get(file) ?? []) {
      const found = visit(next, [...way, file])
      if (found.length) return found
    }
    done.add(file)
    return []
  }
  for (const file of graph.keys()) {
    const found = visit(file, [])
    if (found.length) return found
  }
  return []
}

it('finds a circle', () => {
  const graph = new Map([
    ['a', ['b']],
    ['b', ['c', 'd']],
    ['c', []],
    ['d', ['b']],
  ])
  expect(circle(graph)).toEqual(['b', 'd', 'b'])
})

it('no file of the page imports itself through others', () => {
  const graph = imports()
  expect(graph.size).toBeGreaterThan(150)
  expect([...graph.values()].flat().length).toBeGreaterThan(500)
  expect(circle(graph)).toEqual([])
})
