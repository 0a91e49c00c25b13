import { actionOfKey } from '../../static/src/keys.ts'

const press = (code: string, more: object = {}) => ({
  code,
  key: '',
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  isComposing: false,
  keyCode: 0,
  ...more,
})

it("ignores keys with modifiers and keys of input methods, also Safari's 229", () => {
  expect(actionOfKey(press('KeyJ'))).toBe('back_5')
  expect(actionOfKey(press('Slash', { key: '?' }))).toBe('help')
  for (const more of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { isComposing: true }, { keyCode: 229 }])
    expect(actionOfKey(press('KeyJ', more))).toBeNull()
})
