import { defineConfig } from 'drizzle-kit'

const schema = process.env.DATABASE_SCHEMA || 'public'

export default defineConfig({
  dialect: 'postgresql',
  schema: './src/**/tables.ts',
  out: './migrations',
  dbCredentials: { url: process.env.DATABASE_URL ?? '' },
  schemaFilter: [schema],
  // the same bookkeeping that src/db/migrate.ts keeps
  migrations: { schema, table: '__drizzle_migrations' },
})
