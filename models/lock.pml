/* The lock of src/sync/lock.c: N threads take it ROUNDS times each, and up to KILLS of them die, at any step.
 *
 * One word (owner, WAITERS, DIED), the kernel's queue of sleepers, its robust list and its note of what a thread is at.
 * Shown: no two are inside; in the end nobody sleeps (that would be an invalid end state).
 *
 * DROP_WAITERS   who takes the lock forgets WAITERS: must be found
 * NO_INSURANCE   the kernel has no note: must be found
 * TWO_STEPS      a release changes the word and wakes later: with the insurance this is good, without it must be found */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef KILLS
#define KILLS 2
#endif

byte owner;          /* 0: free */
bool waiters, died;
bool asleep[N + 1], listed[N + 1], insured[N + 1];
byte inside, kills, budget;

#define MAY_DIE :: atomic { kills < budget -> kills++; goto dead }

/* One of the sleepers, whichever; nobody, if none sleeps. */
inline wake_one()
{
	if
	:: asleep[1] -> asleep[1] = false
	:: asleep[2] -> asleep[2] = false
#if N > 2
	:: asleep[3] -> asleep[3] = false
#endif
#if N > 3
	:: asleep[4] -> asleep[4] = false
#endif
	:: else -> skip
	fi
}

inline wake_all()
{
	asleep[1] = false;
	asleep[2] = false;
#if N > 2
	asleep[3] = false;
#endif
#if N > 3
	asleep[4] = false;
#endif
}

proctype thread(byte me)
{
	byte round, seen_owner;
	bool seen_waiters, seen_died;

	do
	:: round == ROUNDS -> break
	:: round < ROUNDS ->
		round++;
		if
		:: insured[me] = true
		MAY_DIE
		fi;
look:
		if
		:: atomic { seen_owner = owner; seen_waiters = waiters; seen_died = died }
		MAY_DIE
		fi;
		if
		:: seen_owner == 0 ->
			if
			:: atomic { /* compare and swap */
				if
				:: owner == 0 && waiters == seen_waiters && died == seen_died ->
					owner = me;
					died = false;
#ifdef DROP_WAITERS
					waiters = false;
#endif
				:: else -> goto look
				fi
			}
			MAY_DIE
			fi;
			goto taken
		:: else -> skip
		fi;
		if
		:: seen_waiters -> skip
		:: !seen_waiters ->
			if
			:: atomic {
				if
				:: owner == seen_owner && !waiters && died == seen_died -> waiters = true
				:: else -> goto look
				fi
			}
			MAY_DIE
			fi
		fi;
		if
		:: atomic { /* the kernel compares and queues */
			if
			:: owner == seen_owner && waiters && died == seen_died -> asleep[me] = true
			:: else -> goto look
			fi
		}
		MAY_DIE
		fi;
		if
		:: !asleep[me] -> skip
		MAY_DIE
		fi;
		goto look;
taken:
		if
		:: listed[me] = true
		MAY_DIE
		fi;
		if
		:: insured[me] = false
		MAY_DIE
		fi;
		atomic { assert(inside == 0); inside = me };
		if
		:: inside = 0
		MAY_DIE
		fi;
		if
		:: insured[me] = true
		MAY_DIE
		fi;
		if
		:: listed[me] = false
		MAY_DIE
		fi;
#ifdef TWO_STEPS
		if
		:: atomic { seen_waiters = waiters; owner = 0 }
		MAY_DIE
		fi;
		if
		:: atomic {
			if
			:: seen_waiters -> wake_one()
			:: else -> skip
			fi
		}
		MAY_DIE
		fi;
#else
		if
		:: atomic {
			owner = 0;
			if
			:: waiters -> wake_one()
			:: waiters -> waiters = false; wake_all()
			:: else -> skip
			fi
		}
		MAY_DIE
		fi;
#endif
		if
		:: insured[me] = false
		MAY_DIE
		fi
	od;
	goto over;
dead:
	atomic { /* the kernel: out of the queue, then the list, then the note */
		asleep[me] = false;
		if
		:: inside == me -> inside = 0
		:: else -> skip
		fi;
		if
		:: listed[me] && owner == me ->
			owner = 0;
			died = true;
			if
			:: waiters -> wake_one()
			:: else -> skip
			fi
#ifndef NO_INSURANCE
		:: else ->
			if
			:: insured[me] && owner == 0 -> wake_one()
			:: insured[me] && owner == me ->
				owner = 0;
				died = true;
				if
				:: waiters -> wake_one()
				:: else -> skip
				fi
			:: else -> skip
			fi
#else
		:: else -> skip
#endif
		fi;
		listed[me] = false;
		insured[me] = false
	};
over:
	skip
}

init {
	atomic {
		/* each number of deaths by itself: who sleeps for ever could else still be killed, and go on no more */
		select(budget : 0 .. KILLS);
		run thread(1);
		run thread(2);
#if N > 2
		run thread(3);
#endif
#if N > 3
		run thread(4);
#endif
	}
}
