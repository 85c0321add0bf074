import cliProgress from 'cli-progress'

export type ProgressBar = {
  update(done: number): void
  stop(): void
}

/** A bar for whoever watches a terminal; nothing at all for anybody else. */
export const createProgressBar = (
  stream: NodeJS.WriteStream,
  { total, isShown }: { readonly total: number; readonly isShown: boolean },
): ProgressBar => {
  if (!isShown || !stream.isTTY) return { update() {}, stop() {} }
  const format = '{bar} {percentage}% | {value}/{total} accounts | {eta_formatted}'
  const bar = new cliProgress.SingleBar({ stream, format }, cliProgress.Presets.shades_classic)
  bar.start(total, 0)
  return { update: (done) => bar.update(done), stop: () => bar.stop() }
}
