import { type ArgsDef, type CommandDef, defineCommand, type ParsedArgs } from 'citty'
import { type Config, loadConfig } from '../config.js'
import { DatabaseSetupError } from '../db/setup-error.js'
import { explain } from '../explain.js'

export const json = { type: 'boolean', description: 'Print JSON' } as const
export const yes = { type: 'boolean', description: 'Do it without being asked again' } as const

export type Context<T extends ArgsDef> = { args: ParsedArgs<T>; config: Config }

/** Runs with the settings of the environment; what fails is told in a line, and exits with 1. */
export const command = <const T extends ArgsDef>(
  description: string,
  args: T,
  act: (context: Context<T>) => Promise<boolean>,
): CommandDef<T> =>
  defineCommand({
    meta: { description },
    args,
    async run(context) {
      try {
        refuseUnknown(context.rawArgs, args)
        const config = loadConfig(process.env)
        const isWell = await act({ args: context.args as ParsedArgs<T>, config })
        process.exitCode = isWell ? 0 : 1
      } catch (error) {
        console.error(`creditd: ${explain(error)}`)
        process.exitCode = 1
      }
    },
  })

/** A mistyped option must not run the command as if it had not been there. */
const refuseUnknown = (rawArgs: readonly string[], args: ArgsDef): void => {
  for (const arg of rawArgs.filter((text) => text.startsWith('-'))) {
    const name = arg.replace(/^--?(no-)?/, '').replace(/=.*/, '')
    const camel = name.replace(/-(\w)/g, (_match, letter: string) => letter.toUpperCase())
    if (!(camel in args) && !(name in args)) throw new DatabaseSetupError(`unknown option ${arg}`)
  }
}

/** Prints what a command has to say, for people or for programs. */
export const show = (
  value: unknown,
  lines: readonly string[],
  asJson: boolean | undefined,
): void => {
  console.log(asJson ? JSON.stringify(value, null, 2) : lines.join('\n'))
}

/** Tells what the operator may not expect, beside what the command has to say. */
export const warn = (text: string): void => console.error(`creditd: ${text}`)
