import type { Beside } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { type Page, pageOf } from '../http/page.js'
import { isoOf } from '../http/schema.js'
import { invalidField } from '../http/validator.js'
import type { Plan, PlanPage, PlanPosition, PlanStore, PutPlan } from './plan-store.js'
import type { PlanBody, PlanView } from './schema.js'

export type Plans = {
  /** By sort order, then by id; those that are offered, or all of them. */
  list(page: PlanPage): Promise<Page<PlanView>>
  /** Throws `plan_not_found`; one that is not offered is given too. */
  get(id: string): Promise<PlanView>
  /**
   * Makes the plan, or changes what the body names of it. What was allocated stays as it is; the
   * next periods go by the new terms, in every instance. Throws `invalid_request` for a tier that
   * does not exist, for a price that another plan has and for a new plan that lacks something,
   * `limit_exceeded`. Safe to repeat. `beside` joins the transaction.
   */
  put(id: string, body: PlanBody, beside?: Beside<PlanPut>): Promise<PlanPut>
}

export type PlanPut = { readonly plan: PlanView; readonly isNew: boolean }

export type PlansDeps = {
  readonly store: PlanStore
  /** Whether there is such a tier of membership. */
  readonly hasTier: (tier: string) => Promise<boolean>
}

/** The plans, read from the database each time: a reader sees what was written anywhere. */
export function createPlans({ store, hasTier }: PlansDeps): Plans {
  return {
    async list(page) {
      const found = await store.list({ ...page, limit: page.limit + 1 })
      const { items, nextCursor } = pageOf(found, page.limit, positionOf)
      return { items: items.map(viewOf), nextCursor }
    },
    async get(id) {
      const plan = await store.get(id)
      if (plan === null) throw planNotFound(id)
      return viewOf(plan)
    },
    async put(id, body, beside) {
      if (body.tier !== undefined && !(await hasTier(body.tier))) {
        throw invalidField('tier', `There is no tier ${body.tier}`)
      }
      return putOf(await store.put(id, body, beside && ((tx, put) => beside(tx, putOf(put)))))
    },
  }
}

export const planNotFound = (id: string): AppError =>
  new AppError('plan_not_found', `There is no plan ${id}`)

const positionOf = ({ sortOrder, id }: Plan): PlanPosition => [sortOrder, id]

const putOf = ({ plan, isNew }: PutPlan): PlanPut => ({ plan: viewOf(plan), isNew })

const viewOf = ({ createdAtMs, updatedAtMs, ...plan }: Plan): PlanView => ({
  ...plan,
  createdAt: isoOf(createdAtMs),
  updatedAt: isoOf(updatedAtMs),
})
