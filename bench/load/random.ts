/**
 * A number in [0, 2^32) that depends on nothing but its arguments: request `index` of a run is the
 * same whenever it is asked for, so a replay needs no memory of the first time.
 */
export function mix(seed: number, run: number, index: number): number {
  let value = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(run + 1, 0xc2b2ae35)
  value = Math.imul(value ^ (index + 1), 0x27d4eb2f)
  value = Math.imul(value ^ (value >>> 15), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
