import type { App } from './route.js'

/** Runs a part of a request within what the request may spend on the stores. */
export type WithinBudget = <T>(act: () => T) => T

declare module 'fastify' {
  interface FastifyRequest {
    /** Null: nothing it asks for could be slow. */
    withinBudget: WithinBudget | null
  }
}

/** Gives every request a budget of its own, for all the stores it asks together. */
export function registerStoreBudget(app: App, open: (() => WithinBudget) | null): void {
  app.decorateRequest<WithinBudget | null>('withinBudget', null)
  if (open === null) return
  app.addHook('onRequest', (request, _reply, done) => {
    request.withinBudget = open()
    request.withinBudget(done)
  })
  // whoever has read the body goes on from where it came in
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.withinBudget === null) return done()
    request.withinBudget(done)
  })
}
