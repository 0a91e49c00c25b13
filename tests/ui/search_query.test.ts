import { expect, it } from 'vitest'
import { phraseOf } from '../../static/src/search_query.ts'

it('looks in a text for what is not about speakers', () => {
  expect(phraseOf(' budget talk ')).toBe('budget talk')
  expect(phraseOf('speaker:anna budget')).toBe('budget')
  expect(phraseOf('budget SPEAKER:"Anna Li"')).toBe('budget')
  expect(phraseOf('发言人：李雷 预算')).toBe('预算')
  expect(phraseOf('loudspeaker:on')).toBe('loudspeaker:on')
})
