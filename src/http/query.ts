import { z } from 'zod'
import type { App } from './route.js'

/** The query of a route that takes none. */
export const NO_QUERY = z.strictObject({})

/**
 * Gives every route of ours that declares no query one that allows nothing: a parameter that is
 * misspelt must not be as if it had not been there.
 */
export function registerQueryCheck(app: App): void {
  app.addHook('onRoute', ({ schema }) => {
    if (schema !== undefined && !schema.hide) schema.querystring ??= NO_QUERY
  })
}
