import { isatty } from 'node:tty'

/**
 * Imported before the library of the command line, which decides when it is loaded: colours are for
 * terminals, and for those who have not said that they want none.
 */
const isForTerminal = isatty(1) && isatty(2)
if (!isForTerminal || process.env.NO_COLOR) process.env.NO_COLOR = '1'
