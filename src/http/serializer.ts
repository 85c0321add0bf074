import buildSerializer from 'fast-json-stringify'
import type { FastifySerializerCompiler } from 'fastify/types/schema.js'
import { createSerializerCompiler } from 'fastify-type-provider-zod'
import { z } from 'zod'

/**
 * `fast` is compiled from the JSON schema of the reply: it drops unknown fields and refuses missing
 * ones. `strict` encodes through zod itself and refuses whatever differs; it costs several times
 * as much, so it is for tests.
 */
export type SerializerMode = 'fast' | 'strict'

export const serializerCompiler = (mode: SerializerMode): FastifySerializerCompiler<z.ZodType> =>
  mode === 'strict' ? (createSerializerCompiler() as FastifySerializerCompiler<z.ZodType>) : fast

const fast: FastifySerializerCompiler<z.ZodType> = ({ schema }) => {
  if (!(schema instanceof z.ZodType)) return (data) => JSON.stringify(data)
  const json = z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'output',
    unrepresentable: 'any',
    reused: 'inline',
    override: ({ zodSchema, jsonSchema }) => {
      // what only we can judge is written as it stands
      if (zodSchema._zod.def.type === 'custom') {
        for (const key of Object.keys(jsonSchema)) delete jsonSchema[key]
      }
      delete jsonSchema.id
      // closed branches of a union would be refused when a neighbour's field is there
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
    },
  })
  delete json.$schema
  return buildSerializer(json as Parameters<typeof buildSerializer>[0])
}
