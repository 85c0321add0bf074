/** A fault put into a function of the database, which the guarantees of that point must show. */
export type SqlMutant = {
  readonly point: 1 | 2 | 3 | 4 | 5 | 7
  readonly name: string
  /** Otherwise it is `ledger_append`. */
  readonly of?: 'ledger_append' | 'ledger_fence'
  /** Must occur exactly once. */
  readonly from: string
  readonly to: string
}

const LOCKING = /select coalesce\(array_agg\(l\.id\)[\s\S]*?\) l;/

export const SQL_MUTANTS: readonly SqlMutant[] = [
  {
    point: 1,
    name: 'seq is compared instead of version',
    from: 'select a.id, a.version, a.has_archive',
    to: 'select a.id, a.seq as version, a.has_archive',
  },
  {
    point: 1,
    name: 'the epoch is not looked at',
    from: "when gate.epoch is distinct from p_epoch then 'epoch'",
    to: '',
  },
  {
    point: 1,
    name: 'the gate is not looked at',
    from: "when not gate.writable then 'gate'",
    to: '',
  },
  {
    point: 1,
    name: 'a control row that is missing counts as open',
    from: 'gate.epoch is distinct from p_epoch',
    to: 'gate.epoch <> p_epoch',
  },
  {
    point: 2,
    name: 'what is only to be proven is not compared',
    from: 'where l.id is null or l.version <> n.base;',
    to: 'where l.id is null;',
  },
  {
    point: 2,
    name: 'events are written of accounts that are refused',
    from: 'from unnest(p_events) n\n     where n.account_id <> all (refused);',
    to: 'from unnest(p_events) n;',
  },
  {
    point: 2,
    name: 'events are left out',
    from: 'if cardinality(p_events) > 0 then',
    to: 'if false then',
  },
  {
    point: 4,
    name: 'the clock is not looked at',
    from: "when abs(now_ms - p_now) > 1000 then 'clock'",
    to: '',
  },
  {
    point: 3,
    name: 'a fence raises nothing',
    of: 'ledger_fence',
    from: 'version = a.version + 1',
    to: 'version = a.version',
  },
  { point: 5, name: 'nothing is locked', from: 'for update skip locked', to: '' },
  { point: 5, name: 'locks are waited for', from: 'for update skip locked', to: 'for update' },
  {
    point: 5,
    name: 'an account that is there already is opened again',
    from: 'where n.base = 0 and n.id <> all (created_ids);',
    to: 'where false;',
  },
  {
    point: 7,
    name: 'keys are not looked up',
    from: 'join transactions t on t.account_id = k.account_id and t.key = k.key',
    to: 'join transactions t on false',
  },
  { point: 7, name: 'the archive is not looked at', from: 'if archived then', to: 'if false then' },
  {
    point: 7,
    name: 'every archive is looked at',
    from: 'if archived then',
    to: 'if true then',
  },
]

/** The gate is read before the rows are locked: trap (a) of a statement that waits. */
export function readGateFirst(definition: string): string {
  const locking = LOCKING.exec(definition)?.[0] ?? ''
  const reading = 'select * into gate from control where id = 1;'
  return definition.replace(reading, '').replace(locking, `${reading}\n${locking}`)
}
