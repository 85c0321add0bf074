import { type EmbeddedOptions, startEmbedded } from './embedded.js'
import { type Database, type DatabaseOptions, openDatabase } from './open.js'

export type SourceOptions = Omit<DatabaseOptions, 'url'> & {
  /** null: embedded. */
  readonly url: string | null
  readonly dataDirectory: string
  readonly onLost: EmbeddedOptions['onLost']
  /** Whether to join an embedded database that a running service owns, as commands do. */
  readonly joinsOwner?: boolean
}

export type DatabaseSource = {
  /** With the password in it: for tools that open it themselves, and for no log. */
  readonly url: string
  readonly embedded: {
    readonly directory: string
    readonly majorVersion: number
    readonly wasAdopted: boolean
  } | null
  /** Opens a pool on it. */
  open(options?: Partial<DatabaseOptions>): Promise<Database>
  /** Ends the embedded database, if it is ours. Close the pools first. */
  close(): Promise<void>
}

/** The configured database, or the embedded one, running and ready to be opened. */
export const findDatabase = async (options: SourceOptions): Promise<DatabaseSource> => {
  const { url, dataDirectory, onLost, joinsOwner, ...defaults } = options
  if (url !== null) {
    return {
      url,
      embedded: null,
      open: (own = {}) => openDatabase({ ...defaults, ...own, url }),
      close: async () => {},
    }
  }
  const { log } = options
  const embedded = await startEmbedded({ dataDirectory, log, onLost, joinsOwner })
  return {
    url: embedded.url,
    embedded,
    open: (own = {}) => openDatabase({ ...defaults, ...own, url: embedded.url }),
    close: () => embedded.stop(),
  }
}
