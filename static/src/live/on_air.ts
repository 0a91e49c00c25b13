// What the frame of the page knows of recordings. Everything else is loaded with the first one.
import { ref } from 'vue'

/** Set while this browser has a recording that the service does not have as a whole. */
export const FLAG = 'recording'

/** Whether there may be something to show of recordings. Stays on: the strip knows when there is nothing. */
export const onAir = ref(false)
