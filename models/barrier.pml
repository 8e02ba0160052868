/* One round of the barrier of src/sync/barrier.c: N parties come, and up to KILLS of them die, at any step. The lock
 * is taken for what models/lock.pml shows of it; a seat's word, for what the kernel makes of it at a death.
 *
 * Shown: when nothing more happens nobody sleeps, unless a party died before it said that it waits; and of those who
 * live all passed, or none.
 *
 * NO_FINISH       an end of the round that was begun is not finished by the next: must be found
 * NO_ARRIVAL      a newcomer does not make the leader look: must be found
 * LEADER_UNSEEN   nobody watches the leader: must be found */
#ifndef N
#define N 3
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define OPEN 0
#define PASSED 1
#define CANCELED 2

byte owner;
bool died;
byte count, leader, round, arrival, ending;
bool broken;
bool seated[N + 1], use[N + 1], gone[N + 1];  /* gone: the kernel marked the seat */
byte outcome[N + 1], result[N + 1];
bool asleep[N + 1], lives[N + 1];
byte watched[N + 1];                          /* who sleeps on which seats: a bit each */
byte kills, budget;
bool awaited_died;

#define MAY_DIE :: atomic { kills < budget -> kills++; goto dead }
#define STEP(what) if :: atomic { what } MAY_DIE fi
#define ACQUIRE if :: atomic { owner == 0 -> owner = me; told = died; died = false } MAY_DIE fi
#define RELEASE STEP(owner = 0)

/* Of those who sleep on the seat, one. */
inline wake_on(seat)
{
	if
	:: asleep[1] && (watched[1] >> seat & 1) -> asleep[1] = false
	:: asleep[2] && (watched[2] >> seat & 1) -> asleep[2] = false
	:: asleep[3] && (watched[3] >> seat & 1) -> asleep[3] = false
	:: else -> skip
	fi
}

inline mark(i)
{
	if
	:: use[i] && outcome[i] == OPEN -> outcome[i] = ending
	:: else -> skip
	fi
}

#define END_ROUND(how) STEP(ending = how); STEP(mark(1)); STEP(mark(2)); STEP(mark(3)); STEP(count = 0); \
	STEP(round++; asleep[1] = false; asleep[2] = false; asleep[3] = false); STEP(ending = OPEN)

inline bury(i)
{
	if
	:: use[i] && gone[i] -> missed = missed || outcome[i] == OPEN; use[i] = false
	:: else -> skip
	fi
}

#ifdef NO_FINISH
#define FINISH STEP(ending = OPEN)
#else
#define FINISH END_ROUND(ending)
#endif

#define ENTER ACQUIRE; \
	if :: ending != OPEN -> FINISH :: else -> skip fi; \
	missed = told; \
	STEP(bury(1)); STEP(bury(2)); STEP(bury(3)); \
	if :: missed -> STEP(broken = true); END_ROUND(CANCELED) :: else -> skip fi

proctype party(byte me)
{
	bool told, missed;
	byte seen_round, seen_arrival, seats, i;

	ENTER;
	if
	:: broken -> result[me] = CANCELED; RELEASE; goto over
	:: else -> skip
	fi;
	STEP(seated[me] = true);
#ifndef NO_ARRIVAL
	STEP(arrival++;
		if
		:: leader != 0 -> asleep[leader] = false
		:: else -> skip
		fi);
#endif
	STEP(use[me] = true);
	STEP(count++);
	if
	:: count == 1 -> STEP(leader = me)
	:: else -> skip
	fi;
	if
	:: count == N -> END_ROUND(PASSED)
	:: else -> skip
	fi;
wait:
	if
	:: outcome[me] != OPEN -> goto out
	:: else -> skip
	fi;
	seats = 0;
	if
	:: leader == me ->
		i = 1;
		do
		:: i > N -> break
		:: i <= N ->
			if
			:: i != me && use[i] -> seats = seats | (1 << i)
			:: else -> skip
			fi;
			i++
		od
	:: else ->
#ifndef LEADER_UNSEEN
		seats = 1 << leader
#endif
	fi;
	STEP(seen_round = round; seen_arrival = arrival);
	RELEASE;
	if
	:: atomic { /* the kernel compares all the words, and queues */
		if
		:: round != seen_round || (leader == me && arrival != seen_arrival) ||
		   (gone[1] && (seats >> 1 & 1)) || (gone[2] && (seats >> 2 & 1)) || (gone[3] && (seats >> 3 & 1)) -> skip
		:: else -> watched[me] = seats; asleep[me] = true
		fi
	}
	MAY_DIE
	fi;
endasleep: /* the watcher says if it may */
	if
	:: !asleep[me] -> skip
	MAY_DIE
	fi;
	ENTER;
	goto wait;
out:
	result[me] = outcome[me];
	STEP(use[me] = false);
	STEP(seated[me] = false);
	RELEASE;
	goto over;
dead:
	atomic { /* the kernel; who slept on the leader's seat is insured by it */
		asleep[me] = false;
		lives[me] = false;
		awaited_died = awaited_died || (use[me] && outcome[me] == OPEN);
		if
		:: owner == me -> owner = 0; died = true
		:: else -> skip
		fi;
		if
		:: seated[me] -> gone[me] = true; wake_on(me)
		:: else -> skip
		fi;
		if
		:: leader != 0 && leader != me && gone[leader] -> wake_on(leader)
		:: else -> skip
		fi
	};
over:
	skip
}

#define SLEEPS (asleep[1] || asleep[2] || asleep[3])
#define HAS(what) ((lives[1] && result[1] == what) || (lives[2] && result[2] == what) || (lives[3] && result[3] == what))

proctype watcher()
{
	timeout;
	assert(!SLEEPS || (kills > 0 && !awaited_died));
	assert(!(HAS(PASSED) && HAS(CANCELED)))
}

init {
	atomic {
		/* each number of deaths by itself: who sleeps for ever could else still be killed, and go on no more */
		select(budget : 0 .. KILLS);
		lives[1] = true;
		lives[2] = true;
		lives[3] = true;
		run party(1);
		run party(2);
		run party(3);
		run watcher()
	}
}
