import { flag, setting, whole } from './setting.js'

/** What is told to others, and when. */
export const EVENT_SETTINGS = {
  LOW_BALANCE_CREDITS: setting(
    whole(0, Number.MAX_SAFE_INTEGER).default(10),
    'Tell when the available credits of an account fall below this; 0 never tells',
  ),
  EVENT_RETENTION_DAYS: setting(whole(1, 3_650).default(30), 'Days that events stay in the feed'),
  WEBHOOKS_ALLOW_PRIVATE: setting(
    flag().default(false),
    'Let webhook endpoints lie in private networks and on http',
  ),
} as const
