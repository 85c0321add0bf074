/** What each account of the bench has, with the service and with the comparator: never used up. */
export const FUNDS = 1_000_000_000_000
