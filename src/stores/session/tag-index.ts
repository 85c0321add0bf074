import type { SessionId } from './store.js'

/** Which sessions are kept of each account: all of one are found without a look at others. */
export type TagIndex = {
  add(id: SessionId): void
  remove(id: SessionId): void
  digestsOf(tag: string): readonly string[]
}

export const createTagIndex = (): TagIndex => {
  const byTag = new Map<string, Set<string>>()
  return {
    add({ tag, digest }) {
      const digests = byTag.get(tag) ?? new Set<string>()
      byTag.set(tag, digests.add(digest))
    },
    remove({ tag, digest }) {
      const digests = byTag.get(tag)
      digests?.delete(digest)
      if (digests?.size === 0) byTag.delete(tag)
    },
    digestsOf: (tag) => [...(byTag.get(tag) ?? [])],
  }
}
