import { type Link, RedisAwayError } from './link.js'
import type { UnusableTarget } from './urls.js'

/**
 * The link to a Redis of which nobody knows where it is: away for good, with a reason that tells
 * what is wrong with its setting. So its roles are served without it, like those of one that died.
 */
export const createUnusableLink = ({ variable, problem }: UnusableTarget): Link => ({
  target: { variable },
  isUp: () => false,
  trouble: () => problem,
  run: () => Promise.reject(new RedisAwayError(problem)),
  attempt: () => Promise.reject(problem),
  onChange() {},
  figures: () => ({ commands: 0, errors: 0, openings: 0, errorRate: 0, latencyMs: null }),
  close() {},
})
