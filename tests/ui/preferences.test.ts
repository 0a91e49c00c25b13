import { readFileSync } from 'node:fs'
import { FORMATS } from '../../static/src/jobs.ts'

const stored = { columns: 42, lines: 9, model: 'small', prompt: ' Nguyen ' }
vi.stubGlobal('localStorage', { getItem: () => JSON.stringify(stored), setItem: () => undefined })
vi.stubGlobal('document', { createElement: () => ({}) })
const { BOUNDS, exportLayout, jobOptions } = await import('../../static/src/preferences.ts')

const api = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8'))
const parameters: { name: string; schema: { minimum: number; maximum: number } }[] =
  api.paths['/api/jobs/{job_id}/export'].get.parameters

it('has the bounds of the API', () => {
  const bounds = (wanted: string) => {
    const { minimum, maximum } = parameters.find(({ name }) => name === wanted)!.schema
    return [minimum, maximum]
  }
  expect(BOUNDS).toEqual({ columns: bounds('line_columns'), lines: bounds('lines') })
})

it('offers every format of the API', () => {
  expect([...FORMATS].sort()).toEqual([...api.components.schemas.Format.enum].sort())
})

it('sends what differs from the defaults of the service, and no number out of bounds', () => {
  expect(jobOptions()).toEqual({ model: 'small', prompt: 'Nguyen' })
  expect(exportLayout()).toEqual({ line_columns: 42, cjk_line_columns: 42 })
})
