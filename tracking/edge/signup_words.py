"""What the pages say on which people subscribe and confirm, in English and Indonesian."""

from collections.abc import Mapping
from typing import Final

#: What a workspace may say in its own words; the rest are ours, so that nothing needed is lost.
OWN: Final = ("signup_title", "signup_intro", "signup_button", "thanks_title", "thanks_lead", "confirmed_title",
              "confirmed_lead")

SIGNUP_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "signup_title": "Subscribe",
        "signup_intro": "Choose what you would like to get by e-mail.",
        "signup_button": "Subscribe",
        "choose": "What would you like to get?",
        "email": "Your e-mail address",
        "optional": "optional",
        "first_name": "First name",
        "last_name": "Last name",
        "city": "City",
        "country": "Country",
        "birth_date": "Date of birth",
        "language": "Language",
        "time_zone": "Time zone",
        "yes": "Yes",
        "trap": "Leave this field empty",
        "working": "One moment…",
        "again": "Please press the button once more. This keeps robots away.",
        "check": "Please look at the marked fields again.",
        "email_problem": "Please write an e-mail address, such as name@example.com.",
        "list_problem": "Please choose at least one.",
        "required_problem": "Please fill this in.",
        "later_form": "This could not be taken just now, and nothing was sent. Please press the button again in a "
        "moment.",
        "thanks_title": "Almost done",
        "thanks_lead": "If a confirmation is needed, a mail is on its way to you. Open it and press the link in it.\n"
        "Nothing there? Look into the spam folder. We send at most one such mail a day to an address.",
        "confirm_title": "Please confirm",
        "confirm_lead": "Press the button and {address} gets:",
        "confirm_button": "Yes, subscribe me",
        "confirmed_title": "You are subscribed",
        "confirmed_lead": "Thank you. You get the next mail at {address}.",
        "leave_title": "Do you want to leave?",
        "leave_lead": "Press the button and {address} gets these no more:",
        "leave_button": "Yes, take me off",
        "left_title": "You are unsubscribed",
        "left_lead": "{address} gets no more of these mails. One that is on its way may still arrive.",
        "nothing_yet": "Nothing changes until you press the button.",
        "over_title": "This link is over",
        "over_lead": "A confirmation must come within some days, and this one has been dealt with or was too late. "
        "You can simply ask again.",
        "subscribe_again": "Subscribe again",
    },
    "id": {
        "signup_title": "Berlangganan",
        "signup_intro": "Pilih apa yang ingin Anda terima lewat email.",
        "signup_button": "Berlangganan",
        "choose": "Apa yang ingin Anda terima?",
        "email": "Alamat email Anda",
        "optional": "boleh kosong",
        "first_name": "Nama depan",
        "last_name": "Nama belakang",
        "city": "Kota",
        "country": "Negara",
        "birth_date": "Tanggal lahir",
        "language": "Bahasa",
        "time_zone": "Zona waktu",
        "yes": "Ya",
        "trap": "Biarkan kolom ini kosong",
        "working": "Sebentar…",
        "again": "Silakan tekan tombol sekali lagi. Ini untuk mencegah robot.",
        "check": "Silakan periksa lagi kolom yang ditandai.",
        "email_problem": "Tuliskan alamat email, misalnya nama@contoh.com.",
        "list_problem": "Pilih paling sedikit satu.",
        "required_problem": "Silakan isi kolom ini.",
        "later_form": "Saat ini pendaftaran belum dapat diterima, dan belum ada yang dikirim. Silakan tekan tombolnya "
        "lagi sebentar lagi.",
        "thanks_title": "Hampir selesai",
        "thanks_lead": "Jika perlu konfirmasi, sebuah email sedang dikirim kepada Anda. Buka email itu lalu tekan "
        "tautannya.\nBelum ada? Periksa folder spam. Kami mengirim paling banyak satu email seperti ini sehari ke satu "
        "alamat.",
        "confirm_title": "Mohon konfirmasi",
        "confirm_lead": "Tekan tombol ini, lalu {address} akan menerima:",
        "confirm_button": "Ya, saya mau berlangganan",
        "confirmed_title": "Anda sudah berlangganan",
        "confirmed_lead": "Terima kasih. Email berikutnya kami kirim ke {address}.",
        "leave_title": "Anda ingin berhenti?",
        "leave_lead": "Tekan tombol ini, lalu {address} tidak lagi menerima:",
        "leave_button": "Ya, saya mau berhenti",
        "left_title": "Anda sudah berhenti berlangganan",
        "left_lead": "{address} tidak lagi menerima email ini. Email yang sudah dikirim mungkin masih sampai.",
        "nothing_yet": "Tidak ada yang berubah sebelum Anda menekan tombol.",
        "over_title": "Tautan ini sudah tidak berlaku",
        "over_lead": "Konfirmasi harus dilakukan dalam beberapa hari, dan tautan ini sudah dipakai atau terlambat. "
        "Anda boleh mendaftar lagi.",
        "subscribe_again": "Daftar lagi",
    },
}
