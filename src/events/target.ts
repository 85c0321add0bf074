import ipaddr from 'ipaddr.js'

export const MAX_URL_LENGTH = 2_048

/** The part of IPv6 that is routed between networks; the rest is for uses of its own. */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3]

/**
 * Whether the address is one of the public internet. Private, loopback, link-local, shared,
 * multicast and reserved ones are not, nor those of IPv6 that stand for one of IPv4.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.parse(address)
  if (parsed.range() !== 'unicast') return false
  return parsed.kind() === 'ipv4' || parsed.match(GLOBAL_UNICAST)
}

/** The host of a URL as an address; null: it is a name. */
export function addressIn({ hostname }: URL): string | null {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1')
  return ipaddr.isValid(bare) ? bare : null
}

export type TargetRules = {
  /** Private networks, and http. */
  readonly allowPrivate: boolean
}

/**
 * Why nothing may be sent to the URL, or the URL as it is kept. Where its name leads to is looked
 * at again at every connection.
 */
export function targetOf(
  text: string,
  { allowPrivate }: TargetRules,
): { readonly url: string } | { readonly fault: string } {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) return { fault: 'Must be a URL' }
  const isHttp = allowPrivate && url.protocol === 'http:'
  if (url.protocol !== 'https:' && !isHttp) return { fault: 'Must begin with https://' }
  if (url.username !== '' || url.password !== '') {
    return { fault: 'Must hold no user and no password' }
  }
  if (url.href.includes('#')) return { fault: 'Must have no fragment' }
  if (url.href.length > MAX_URL_LENGTH) {
    return { fault: `Must have at most ${MAX_URL_LENGTH} characters` }
  }
  if (!allowPrivate && isPrivateHost(url)) {
    return { fault: 'Must not lie in a private network' }
  }
  return { url: url.href }
}

/** What can be told without asking anybody where the name leads. */
function isPrivateHost(url: URL): boolean {
  const address = addressIn(url)
  if (address !== null) return !isPublicAddress(address)
  const name = url.hostname.replace(/\.$/, '')
  return name === 'localhost' || name.endsWith('.localhost')
}
