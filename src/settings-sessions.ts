import { setting, whole } from './setting.js'
import { MAX_IDLE_MS } from './stores/session/store.js'

const MAX_IDLE_SECONDS = MAX_IDLE_MS / 1000
const MAX_SECONDS = 30 * 86_400

export const SESSION_SETTINGS = {
  SESSION_TTL_SECONDS: setting(
    whole(1, MAX_IDLE_SECONDS).default(900),
    "How long a user's session lives after each use",
  ),
  GUEST_SESSION_TTL_SECONDS: setting(
    whole(1, MAX_IDLE_SECONDS).default(300),
    "How long a guest's session lives after each use",
  ),
  SESSION_MAX_SECONDS: setting(
    whole(1, MAX_SECONDS).default(86_400),
    'How long any session lives, however much it is used',
  ),
} as const
