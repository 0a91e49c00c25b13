// What the page of a transcript needs only behind its text, in one piece: see parts.ts.
import './find.ts' // it is fetched on its own where somebody looks for something earlier
export { default as FindSteps } from '../components/edit/FindSteps.vue'
export { default as KeyStrip } from '../components/edit/KeyStrip.vue'
export { default as LineMenu } from '../components/edit/LineMenu.vue'
export { default as PlayerMenu } from '../components/PlayerMenu.vue'
export { default as ReviewTools } from '../components/edit/ReviewTools.vue'
export { default as SaveChip } from '../components/edit/SaveChip.vue'
export { default as MarkedText } from './marked_text.ts'
export { choiceOperations, withDoubles } from './doubles.ts'
export { askOriginal, openOriginal } from './original_shown.ts'
export { choicesOf, splitTurns } from './speaker_choices.ts'
