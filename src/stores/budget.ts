import { AsyncLocalStorage } from 'node:async_hooks'

/** A request spends less than 50 ms on Redis; the rest is for timers that are late. */
export const REQUEST_BUDGET_MS = 40

/** What one request may still spend on Redis, all roles and calls together. */
export type Budget = {
  leftMs(): number
  /** A wait begins; gives what ends it. Waits at the same time count once. */
  begin(): () => void
}

/** Runs a part of a request; whatever it waits for comes out of the request's budget. */
export type WithinBudget = <T>(act: () => T) => T

export type Budgets = {
  /** Of the request that is being served; null beside requests. */
  current(): Budget | null
  /** For a request that begins. */
  open(): WithinBudget
}

export const createBudgets = (monotonicMs: () => number): Budgets => {
  const storage = new AsyncLocalStorage<Budget>()
  return {
    current: () => storage.getStore() ?? null,
    open() {
      const budget = createBudget(monotonicMs)
      return (act) => storage.run(budget, act)
    },
  }
}

const createBudget = (monotonicMs: () => number): Budget => {
  let spentMs = 0
  let waits = 0
  let sinceMs = 0
  return {
    leftMs: () => REQUEST_BUDGET_MS - spentMs - (waits > 0 ? monotonicMs() - sinceMs : 0),
    begin() {
      if (waits === 0) sinceMs = monotonicMs()
      waits += 1
      return () => {
        waits -= 1
        if (waits === 0) spentMs += monotonicMs() - sinceMs
      }
    },
  }
}
