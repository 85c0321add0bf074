/** Where the stores tell the operator what has changed; an error in `err` is printed with care. */
export type StoresLog = {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}
