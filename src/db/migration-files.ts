import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSetupError } from './setup-error.js'

export type Migration = {
  /** The file's name without `.sql`, for example `0000_tables`. */
  readonly tag: string
  /** Drizzle's identity of a migration: when it was generated, in ms. */
  readonly createdAtMs: number
  /** SHA-256 of the file as Drizzle counts it. */
  readonly hash: string
  readonly upStatements: readonly string[]
  readonly downStatements: readonly string[] | null
}

type JournalEntry = { readonly tag: string; readonly when: number }

const BREAKPOINT = '--> statement-breakpoint'

/** The folder's migrations in the order of Drizzle's journal. */
export const readMigrations = (folder: string): readonly Migration[] => {
  const journalPath = join(folder, 'meta', '_journal.json')
  if (!existsSync(journalPath)) {
    throw new DatabaseSetupError(`no migrations: ${journalPath} does not exist`)
  }
  const journal = JSON.parse(readFileSync(journalPath, 'utf8')) as { entries: JournalEntry[] }
  return journal.entries.map(({ tag, when }) => {
    const up = readFileSync(join(folder, `${tag}.sql`), 'utf8')
    const downPath = join(folder, `${tag}.down.sql`)
    return {
      tag,
      createdAtMs: when,
      hash: createHash('sha256').update(up).digest('hex'),
      upStatements: splitStatements(up),
      downStatements: existsSync(downPath) ? splitStatements(readFileSync(downPath, 'utf8')) : null,
    }
  })
}

const splitStatements = (text: string): readonly string[] =>
  text
    .split(BREAKPOINT)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
