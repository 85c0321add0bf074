import t from 'tap'
import { FIRST_POINTS, tryGuarantee } from './fine-print.js'
import { CROWD_POINTS } from './fine-print-crowds.js'
import { FAULT_POINTS } from './fine-print-faults.js'
import { REPEAT_POINTS } from './fine-print-repeats.js'
import { realKit } from './kit.js'

for (const guarantee of [...FIRST_POINTS, ...FAULT_POINTS, ...CROWD_POINTS, ...REPEAT_POINTS]) {
  t.test(`fine print ${guarantee.point}: ${guarantee.name}`, () => tryGuarantee(guarantee, realKit))
}
