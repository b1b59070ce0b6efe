import { dataAnswer } from '../http/answer.ts';
import type { AnswerRoute } from '../http/route.ts';
import type { Wallet } from '../lipsyncs/wallet.ts';

export function userRoute(wallet: Wallet): AnswerRoute {
  return {
    name: 'me',
    method: 'get',
    path: '/v3/users/me',
    handle: () =>
      dataAnswer({
        username: 'standin',
        email: null,
        first_name: null,
        last_name: null,
        billing_type: 'wallet',
        wallet: {
          currency: 'usd',
          remaining_balance: wallet.state().balanceMicros / 1_000_000,
          auto_reload: { enabled: false, threshold_usd: null, amount_usd: null },
        },
        subscription: null,
        usage_based: null,
      }),
  };
}
