import { promises as dns } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { isPublicAddress } from './target.js'

/** The addresses that a name leads to now. */
export type Resolve = (hostname: string) => Promise<readonly string[]>

const TRY_MS = 3_000
const TRIES = 2

/** An address that nothing may be sent to. */
export class PrivateAddressError extends Error {
  override readonly name = 'PrivateAddressError'
}

/**
 * Asks the name servers itself: the system's own look-up has two threads for the whole process,
 * which two names that nobody answers for would keep from everybody else.
 */
export const createResolve = (): Resolve => async (hostname) => {
  const resolver = new dns.Resolver({ timeout: TRY_MS, tries: TRIES })
  const answers = await Promise.allSettled([
    resolver.resolve4(hostname),
    resolver.resolve6(hostname),
  ])
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  const [first] = answers
  if (addresses.length === 0 && first.status === 'rejected') throw first.reason
  return addresses
}

/** As the machine sees it, its own names too: for those who may reach private networks. */
export const resolveByMachine: Resolve = async (hostname) => {
  const found = await dns.lookup(hostname, { all: true })
  return found.map(({ address }) => address)
}

/**
 * The look-up of a connection: what it gives is what is connected to, so that a name can not lead
 * elsewhere in between. One private address among several is enough to refuse the name.
 */
export const guardedLookup =
  (resolve: Resolve, allowPrivate: boolean): LookupFunction =>
  (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const isAllowed = allowPrivate || addresses.every(isPublicAddress)
        const [first] = addresses
        if (!isAllowed) return callback(new PrivateAddressError('a private address'), '', 0)
        if (first === undefined) return callback(new Error('no address'), '', 0)
        if (!options.all) return callback(null, first, familyOf(first))
        const all = addresses.map((address) => ({ address, family: familyOf(address) }))
        return callback(null, all)
      },
      (error: Error) => callback(error, '', 0),
    )
  }

const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4)
