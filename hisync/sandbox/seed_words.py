"""The words that the sandbox's data are made of: people, projects, titles and messages.

Public: the constants.
"""

# (login, first name, last name, time zone); the first one is the account of the examples.
PEOPLE = (
    ("ann@example.com", "Ann", "Lindqvist", "Europe/Stockholm"),
    ("tariq@example.com", "Tariq", "Haddad", "Asia/Amman"),
    ("mei@example.com", "Mei", "Tanaka", "Asia/Tokyo"),
    ("olu@example.com", "Olúwaṣeun", "Adébáyọ̀", "Africa/Lagos"),
    ("jose@example.com", "José", "Núñez Ibarra", "America/Mexico_City"),
    ("katya@example.com", "Катерина", "Бондар", "Europe/Kyiv"),
    ("sam@example.com", "Sam", "O'Reilly", "Europe/Dublin"),
)

# Name, code, and who belongs to it: positions in PEOPLE.
GROUPS = (
    ("Office", "office", (0, 1, 6)),
    ("Builders", "builders", (1, 3, 4)),
    ("Friends of the garden", "garden", (0, 2, 5)),
)

# (title, short name)
PROJECTS = (
    ("Website relaunch", "WEB"),
    ("Bakery on Hill Street", "BAKERY"),
    ("Office move", "MOVE"),
    ("Summer festival 🎪", "FEST24"),
    ("Community garden", "GARDEN"),
    ("Yearly accounts", None),
    ("مشروع المكتبة", "LIB"),
    ("Customer interviews", "TALKS"),
    ("Ремонт мастерской", None),
    ("Spring catalogue", "CATALOG"),
)

# What is done, and what it is done with: any of the one with any of the other.
TASKS = (
    (
        ("Order", "Collect", "Pay for", "Compare prices of", "Return"),
        ("flour and yeast", "the posters (A2)", "seedlings (tomato, chard)", "a first-aid kit",
         "the paint for door 3", "two folding tables", "the Łódź delivery", "Grandma's teapot"),
    ),
    (
        ("Draft", "Review", "Translate", "Print", "Send", "Update"),
        ("the price list", "the newsletter", "the “About us” page", "the café menu",
         "the guest list", "the lease", "the \"quiet room\" sign", "the press release",
         "Olúwaṣeun's offer", "the naïve price model"),
    ),
    (
        ("Check", "Fix", "Measure", "Clean", "Photograph"),
        ("the oven", "the fire exit", "the van", "the shop window", "the stage",
         "the router", "door 3", "the greenhouse", "the coffee machine"),
    ),
    (
        ("Call", "Write to", "Meet", "Invite"),
        ("the landlord", "the baker", "the neighbours", "the tax office", "Mrs. Nguyễn",
         "the insurance", "both electricians", "the choir", "José's cousin"),
    ),
)  # fmt: skip
ENDINGS = (
    "", "", "", "", "", "", " before the weekend", " with the neighbours", " again",
    " - second try", " (urgent!)", " 🙂", " for Katya & José", " / spare copy",
)  # fmt: skip
RARE_TITLES = (
    "שלח את החוזה לדנה",
    "見積もりを送る 三部",
    "اتصل بالمورد قبل الظهر",
    "Подготовить отчёт за квартал",
    "🎂 Birthday cake: 3 layers, 24 candles",
    "Ask: who has the key? \\ tell 'everyone'",
    "O'Reilly's \"last\" order; DROP nothing",
    "e\u0301te\u0301 combining accents",
)
EVENTS = (
    "Weekly meeting", "Lunch with the supplier", "Site visit", "Tasting", "Dentist",
    "Open day", "Interview", "Planning", "Fire drill", "Concert in the yard 🎶",
)  # fmt: skip
NOTES = ("Wi-Fi for guests", "Opening hours", "Ideas for the shop window", "Lessons learned")
FILES = ("floor-plan.pdf", "logo final FINAL.svg", "oven.jpg", "angebot-küche.pdf", "вид.png")
CONTACTS = (("Dana", "Levi"), ("Piotr", "Wiśniewski"), ("Aïcha", "Benali"), ("Linh", "Trần"))
MESSAGES = (
    "See the mail of last Tuesday.",
    "Three things to keep in mind:\n- the size\n- the colour\n- the date",
    "They said “maybe”, which means no. Ask again, politely.",
    "Costs about €1,250 incl. VAT; the cheaper one leaks.",
    "Talk to Tariq first. He knows the landlord.\r\nPhone: +49 30 5550 0199",
    "نحتاج ثلاث نسخ من العقد، واحدة لكل طرف.",
    "<b>Not</b> HTML, just a careless paste &amp; an emoji 🥐",
    "\tIndented, with a trailing space ",
)
COMMENTS = (
    "Done on my side.",
    "Can we do this on Thursday instead?",
    "👍",
    "I have the papers here, see the shared folder.",
    "Better ask Mei, she ordered the last one.",
    "תודה!",
)
TAGS = ("garden", "money", "waiting", "phone", "errand", "q3", "déjà vu", "быстро", "home office")
