/** A fault put into the rules, which the comparison with the plain model must show. */
export type Mutant = {
  readonly name: string
  /** Of src/ledger. */
  readonly file: string
  /** Must occur exactly once. */
  readonly from: string
  readonly to: string
}

const CLAW_BACK = 'claw-back-rules.ts'
const ANNOUNCE = 'announce-rules.ts'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a target counts anew each time',
    file: CLAW_BACK,
    from: 'const change = target - made.refunded\n',
    to: 'const change = target\n',
  },
  {
    name: 'a lower target is as good as met',
    file: CLAW_BACK,
    from: 'if (change === 0) return undefined',
    to: 'if (change <= 0) return undefined',
  },
  {
    name: 'more than the grant can be clawed back',
    file: CLAW_BACK,
    from: ' || target > lot.amount) {',
    to: ') {',
  },
  {
    name: 'held credits of the grant are clawed back',
    file: CLAW_BACK,
    from: 'Math.min(due, lot.remaining - lot.held)',
    to: 'Math.min(due, lot.remaining)',
  },
  {
    name: 'held credits of the rest count as available',
    file: CLAW_BACK,
    from: 'Math.min(due, availableOf(draft)) - fromOwn',
    to: 'Math.min(due, draft.account.balance) - fromOwn',
  },
  {
    name: 'the grant is not taken from first',
    file: CLAW_BACK,
    from: 'const fromGrant = Math.min(due, lot.remaining - lot.held)',
    to: 'const fromGrant = 0',
  },
  {
    name: 'nothing is taken from the rest',
    file: CLAW_BACK,
    from: 'const fromRest = Math.min(due, availableOf(draft)) - fromOwn',
    to: 'const fromRest = 0',
  },
  {
    name: 'what is missing is forgotten',
    file: CLAW_BACK,
    from: '  account.debt += debt\n',
    to: '',
  },
  {
    name: 'debts have no end',
    file: CLAW_BACK,
    from: "const tooMuch = overflow(draft, debt, 'debt')",
    to: "const tooMuch = overflow(draft, 0, 'debt')",
  },
  {
    name: 'what was clawed back is not kept',
    file: CLAW_BACK,
    from: 'refundSeq: row.seq, amount: change })\n  return undefined\n}\n\n/** As',
    to: 'refundSeq: row.seq, amount: due })\n  return undefined\n}\n\n/** As',
  },
  {
    name: 'what is collected is told as something else',
    file: CLAW_BACK,
    from: 'clawedBack: amount }',
    to: 'clawedBack: 0 }',
  },
  {
    name: 'what lapsed is taken again',
    file: CLAW_BACK,
    from: 'const due = change - lapsed',
    to: 'const due = change',
  },
  {
    name: 'what lapsed counts again for each claw-back',
    file: CLAW_BACK,
    from: 'past.lapsed - counted',
    to: 'past.lapsed',
  },
  {
    name: 'what expires in the same operation has not lapsed',
    file: CLAW_BACK,
    from: 'const past = pastAfter(made.past, grantSeq, draft.rows)',
    to: 'const past = made.past',
  },
  {
    name: 'more is reinstated than was taken',
    file: CLAW_BACK,
    from: 'Math.min(-change, past.taken)',
    to: '-change',
  },
  {
    name: 'all that is reinstated goes into the grant',
    file: CLAW_BACK,
    from: 'Math.min(amount, past.takenFromGrant)',
    to: 'amount',
  },
  {
    name: 'nothing that is reinstated goes into the grant',
    file: CLAW_BACK,
    from: 'Math.min(amount, past.takenFromGrant)',
    to: '0',
  },
  {
    name: 'what others paid for an expired grant expires at once',
    file: CLAW_BACK,
    from: 'isPast(lot.expiresAtMs, draft.nowMs) ? null : lot.expiresAtMs',
    to: 'lot.expiresAtMs',
  },
  {
    name: 'debt is not paid first',
    file: 'due-rules.ts',
    from: 'const amount = Math.min(draft.account.debt, availableOf(draft))',
    to: 'const amount = 0',
  },
  {
    name: "a caller's detail changes what is counted",
    file: CLAW_BACK,
    from: 'detail: { ...detail, debt } })',
    to: 'detail: { debt, ...detail } })',
  },
  {
    name: 'a closed account is clawed back from',
    file: 'rules.ts',
    from: "new Set(['sweep', 'transfer_return'])",
    to: "new Set(['sweep', 'transfer_return', 'claw_back'])",
  },
  {
    name: 'a frozen account is not clawed back from',
    file: 'rules.ts',
    from: "  'transfer_out',\n])",
    to: "  'transfer_out',\n  'claw_back',\n])",
  },
  {
    name: 'an allocation sets no tier',
    file: 'inflow-rules.ts',
    from: 'if (membership) join(draft, membership)',
    to: '',
  },
  {
    name: 'what was asked for is announced without a row',
    file: ANNOUNCE,
    from: 'if (own) tell(draft, own.seq, asked.type, asked.data)',
    to: 'tell(draft, own?.seq ?? 0, asked.type, asked.data)',
  },
  {
    name: 'what was asked for is announced with what was due',
    file: ANNOUNCE,
    from: 'draft.rows.find((row) => row.key !== null)',
    to: 'draft.rows[0]',
  },
  {
    name: 'a low balance is told as long as it is low',
    file: ANNOUNCE,
    from: ' || before.balance - before.held < threshold) return',
    to: ') return',
  },
  {
    name: 'what is held counts as available',
    file: ANNOUNCE,
    from: 'before.balance - before.held < threshold',
    to: 'before.balance < threshold',
  },
  {
    name: 'a balance at the threshold is low',
    file: ANNOUNCE,
    from: 'available >= threshold',
    to: 'available > threshold',
  },
  {
    name: 'a closed account is told of its low balance',
    file: ANNOUNCE,
    from: "if (status !== 'closed') tell",
    to: 'if (status) tell',
  },
  {
    name: 'a debt is not told of',
    file: CLAW_BACK,
    from: '  if (debt > 0) {',
    to: '  if (debt < 0) {',
  },
]
