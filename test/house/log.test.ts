import { DrizzleQueryError } from 'drizzle-orm/errors'
import t from 'tap'
import { createLog } from '../../src/log.js'

const capture = (secrets: readonly string[] = []) => {
  const lines: string[] = []
  const log = createLog({ level: 'trace', secrets, destination: { write: (l) => lines.push(l) } })
  return { log, lines, parsed: () => lines.map((line) => JSON.parse(line)) }
}

const KEY = `ck_live_${'A1b2-_'.repeat(7)}x`

t.test('no credential gets into a line, wherever it stands', async (t) => {
  const { log, lines } = capture(['operators-own-key-of-32-characters'])
  log.info({ authorization: `Bearer ${KEY}` }, 'a header')
  log.info({ req: { headers: { authorization: 'secret-1', cookie: 'secret-2' } } }, 'headers')
  log.info({ token: 'secret-3', nested: { password: 'secret-4', apiKey: 'secret-5' } }, 'fields')
  log.info(`the key is ${KEY}`)
  log.info({ text: `postgres://me:secret-6@host/db` }, 'in postgres://me:secret-7@host/db')
  log.info({ detail: 'Basic c2VjcmV0LTg=' }, 'operators-own-key-of-32-characters')
  log.error({ err: new Error('no postgres://u:secret-9@h/d') }, 'an error')
  t.equal(lines.length, 7)
  const text = lines.join('')
  for (const secret of [KEY, 'secret-', 'c2VjcmV0', 'operators-own-key']) t.notMatch(text, secret)
  t.match(text, 'postgres://me:[redacted]@host/db', 'what is not secret stays')
})

t.test('an error shows what failed and where, not the values it failed on', async (t) => {
  const { log, parsed } = capture()
  const cause = Object.assign(new Error('duplicate key value violates "profiles_email"'), {
    code: '23505',
    severity: 'ERROR',
    constraint: 'profiles_email',
    detail: 'Key (email)=(ann@example.org) already exists.',
  })
  const error = new DrizzleQueryError(
    `insert into profiles values ($1, 'literal')`,
    ['ann@example.org'],
    cause,
  )
  log.error({ err: error }, 'failed')
  const [line] = parsed()
  t.match(line.err, {
    message: 'Failed query: insert into profiles values ($1, ?)',
    cause: { code: '23505', constraint: 'profiles_email' },
  })
  t.match(line.err.stack, /log\.test/)
  t.notMatch(JSON.stringify(line), /ann@example|literal/)
})

t.test('lines stay JSON, and levels are kept', async (t) => {
  const { log, parsed } = capture(['"quoted"secret'])
  log.info('the "quoted"secret')
  log.warn({ text: 'a "quoted" word, a \\ and a\nnewline: Bearer abc"def' }, 'odd')
  const [first, second] = parsed()
  t.equal(first.msg, 'the [redacted]')
  t.match([second], [{ level: 40, msg: 'odd', time: /^\d{4}-\d\d-\d\dT/ }])
})
